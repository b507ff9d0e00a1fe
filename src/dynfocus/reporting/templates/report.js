// Folds open where a link leads, all of them on paper; the search hides what does not hold the words.
const folds = [...document.querySelectorAll("main details")];

function unfold(element) {
  for (let fold = element; fold; fold = fold.parentElement) if (fold.tagName === "DETAILS") fold.open = true;
}

function follow() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  unfold(target);
  target.scrollIntoView();
}

addEventListener("hashchange", follow);
follow();

const contents = document.querySelector(".contents");
contents.addEventListener("click", (event) => event.target.closest("a") && (contents.open = false));

let closed = [];
addEventListener("beforeprint", () => {
  closed = folds.filter((fold) => !fold.open && !fold.closest("#provenance") && !fold.matches("details.claim"));
  for (const fold of closed) fold.open = true;
});
addEventListener("afterprint", () => closed.forEach((fold) => (fold.open = false)));

const searched = [...document.querySelectorAll("main details.item, main details.claim")];
document.getElementById("search").addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  document.body.classList.toggle("searching", words.length > 0);
  for (const fold of searched) {
    const text = fold.textContent.toLowerCase();
    fold.hidden = !words.every((word) => text.includes(word));
  }
});
