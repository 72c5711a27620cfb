// Choosing rows of a list: a box that chooses all, ranges with Shift, and the number of those that are chosen.

export function start() {
  let last = null;
  document.addEventListener("click", (event) => {
    const box = event.target.closest("input[data-choose]");
    if (!box) return;
    const boxes = [...box.form.querySelectorAll("input[data-choose]")];
    if (event.shiftKey && boxes.includes(last)) {
      const [from, to] = [boxes.indexOf(last), boxes.indexOf(box)].sort((a, b) => a - b);
      for (const each of boxes.slice(from, to + 1)) each.checked = box.checked;
    }
    last = box;
    count(box.form);
  });
  document.addEventListener("change", (event) => {
    const all = event.target.closest("input[data-choose-all]");
    if (!all) return;
    for (const each of all.form.querySelectorAll("input[data-choose]")) each.checked = all.checked;
    count(all.form);
  });
}

function count(form) {
  const number = form.querySelectorAll("input[data-choose]:checked").length;
  const place = form.querySelector("[data-chosen]");
  if (place) place.textContent = number ? `${number} chosen` : "";
}
