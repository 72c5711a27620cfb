// Signs in with the secret in the fragment of the address, which is removed first so that the history does not keep it.

const form = document.getElementById("enter");
const token = location.hash.slice(1);
if (token) {
  history.replaceState(null, "", location.pathname);
  form.elements.token.value = token;
  form.submit();
} else {
  location.replace("/sign-in");
}
