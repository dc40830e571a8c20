"use strict";
(() => {
  const key = (cell) => {
    if (cell === undefined) return [2, ""];
    const raw = cell.dataset.v;
    if (raw !== undefined && raw !== "" && !Number.isNaN(Number(raw))) return [0, Number(raw)];
    const text = cell.textContent.trim();
    return text === "" ? [2, ""] : [1, text];
  };
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  };
  const sort = (table, heading) => {
    const column = heading.cellIndex;
    const down = heading.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [key(row.cells[column]), row]);
    rows.sort(([a], [b]) => a[0] - b[0] || (down ? -1 : 1) * compare(a[1], b[1]));
    body.append(...rows.map(([, row]) => row));
    if (table.id === "board") choose();
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    table.tHead.addEventListener("click", (event) => {
      const heading = event.target.closest("th");
      if (heading) sort(table, heading);
    });
  }

  const board = document.getElementById("board");
  const filter = document.getElementById("filter");
  const more = document.getElementById("all-rows");
  let everything = false;
  const texts = new Map();
  const textOf = (row) => {
    if (!texts.has(row)) {
      const cells = [...row.cells].map((cell) => cell.textContent);
      texts.set(row, cells.join(" ").toLowerCase());
    }
    return texts.get(row);
  };
  const choose = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const few = everything || words.length ? Infinity : Number(board.dataset.few);
    let shown = 0;
    for (const row of board.tBodies[0].rows) {
      const text = words.length ? textOf(row) : "";
      const fits = words.every((word) => text.includes(word));
      row.hidden = !fits || shown >= few;
      if (!row.hidden) shown += 1;
    }
    const matched = document.getElementById("matched");
    matched.textContent = words.length ? `${shown} of ${board.tBodies[0].rows.length}` : "";
  };
  if (board) filter.addEventListener("input", choose);
  if (more) {
    more.addEventListener("click", () => {
      everything = true;
      more.remove();
      document.getElementById("rows-note").remove();
      choose();
    });
  }

  for (const button of document.querySelectorAll(".copy")) {
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
    });
  }

  const links = new Map([...document.querySelectorAll(".toc a")].map((a) => [a.hash.slice(1), a]));
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.classList.remove("here");
      links.get(entry.target.id)?.classList.add("here");
    }
  }, { rootMargin: "0px 0px -70% 0px" });
  for (const section of document.querySelectorAll("main > section")) watcher.observe(section);
})();
