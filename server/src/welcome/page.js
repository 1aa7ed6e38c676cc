"use strict";
// The invitation stands behind the #, which the browser keeps to itself: only this script, here, reads it. It sends nothing.
(() => {
  const at = (id) => document.getElementById(id);
  const look = () => {
    const whole = /^#[A-Za-z0-9_-]{40,2000}$/.test(location.hash);
    // parsec: means the encrypted address.
    const opens = whole && location.protocol === "https:";
    at("buttons").hidden = !whole;
    at("incomplete").hidden = whole;
    at("open").hidden = !opens;
    at("opens").hidden = !opens;
    if (opens) {
      at("open").href = `parsec://${location.host}/${location.pathname.split("/")[2]}${location.hash}`;
    } else {
      at("open").removeAttribute("href");
    }
    at("said").textContent = "";
  };
  at("copy").addEventListener("click", async () => {
    let said = "Copied. Paste it when parsecctl claim asks for the link.";
    try {
      await navigator.clipboard.writeText(location.origin + location.pathname + location.hash);
    } catch {
      said = "The browser doesn't let this page copy. Copy the whole address from the address bar.";
    }
    at("said").textContent = said;
  });
  addEventListener("hashchange", look);
  look();
})();
