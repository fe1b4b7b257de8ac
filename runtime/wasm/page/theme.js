"use strict";

// Light or dark, before anything is drawn: what was chosen here once, else what the device prefers.

const kept = { // where a browser forbids it, nothing is kept
  get theme() { try { return localStorage.getItem("theme"); } catch { return null; } },
  set theme(value) { try { localStorage.setItem("theme", value); } catch { /* forbidden */ } },
};
const dark = matchMedia("(prefers-color-scheme: dark)");
const useTheme = () => { document.documentElement.dataset.theme = kept.theme || (dark.matches ? "dark" : "light"); };
useTheme();
