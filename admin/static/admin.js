// Live parts of the page. Everything works without it, by loading the page again.
"use strict";
(() => {
  document.addEventListener("submit", (e) => {
    const ask = e.target.getAttribute("data-confirm");
    if (ask && !window.confirm(ask)) e.preventDefault();
  });

  const seconds = Number(document.body.dataset.refresh);
  if (!seconds) return;
  let failures = 0;

  // Somebody who types, or is about to press a button, is not disturbed.
  const busy = (part) => part.querySelector(":active") ||
    (part.contains(document.activeElement) && document.activeElement.matches("input, textarea, select"));

  const replace = (part, news) => {
    if (part.innerHTML === news.innerHTML || busy(part)) return;
    const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
    const scrolled = [...part.querySelectorAll(".table")].map((t) => t.scrollLeft);
    part.replaceChildren(...news.childNodes);
    part.querySelectorAll(".table").forEach((t, i) => { t.scrollLeft = scrolled[i] || 0; });
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  };

  const refresh = async () => {
    if (document.hidden) return;
    const answer = await fetch(location.href, { headers: { "X-Refresh": "1" }, redirect: "error" });
    if (answer.status === 401) { location.reload(); return; }
    if (!answer.ok) throw new Error(answer.statusText);
    const news = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const fresh = news.getElementById(part.id);
      if (fresh) replace(part, fresh);
    }
  };

  const tick = async () => {
    try {
      await refresh();
      failures = 0;
    } catch {
      failures = Math.min(failures + 1, 5);
    }
    document.body.classList.toggle("stale", failures > 1);
    setTimeout(tick, seconds * 1000 * 2 ** failures);
  };
  setTimeout(tick, seconds * 1000);
})();
