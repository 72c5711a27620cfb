// Light or dark: as the system says, unless the person has chosen. Loaded before the page is drawn.

const KEY = "waypost.theme";
const root = document.documentElement;

function show(theme) {
  if (theme) root.dataset.theme = theme;
  else delete root.dataset.theme;
  for (const button of document.querySelectorAll("[data-theme-choice]")) {
    button.setAttribute("aria-pressed", String(button.dataset.themeChoice === (theme ?? "")));
  }
}

show(localStorage.getItem(KEY));

document.addEventListener("DOMContentLoaded", () => {
  for (const place of document.querySelectorAll("[data-theme-choices]")) place.hidden = false;
  show(localStorage.getItem(KEY));
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-theme-choice]");
  if (!button) return;
  const theme = button.dataset.themeChoice;
  if (theme) localStorage.setItem(KEY, theme);
  else localStorage.removeItem(KEY);
  show(theme || null);
});
