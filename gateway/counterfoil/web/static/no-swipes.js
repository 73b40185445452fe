// A page of the terminal on which no card is taken says so when one is swiped, and keeps nothing of it.

Swipes.listen(() => {
  const place = document.querySelector("main .stack");
  const notice = document.querySelector(".notice.swiped") || document.createElement("div");
  notice.className = "notice wait swiped";
  notice.setAttribute("role", "alert");
  notice.tabIndex = -1;
  const line = document.createElement("p");
  line.textContent =
    "A card was swiped, and nothing of it was kept: this page takes none. Open a new sale, and swipe it again.";
  notice.replaceChildren(line);
  place.prepend(notice);
  notice.scrollIntoView({ block: "nearest" });
});
