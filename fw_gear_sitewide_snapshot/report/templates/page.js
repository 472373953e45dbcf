"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const table = find("table");
  const body = table.tBodies[0];
  const heads = Array.from(table.tHead.rows[0].cells);
  const rows = Array.from(body.rows);
  const words = find("words");
  const status = find("status");
  const statusAt = heads.findIndex((head) => head.textContent === "Status");
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const number = new Intl.NumberFormat("en");
  const plain = (text) => text.normalize("NFC").toLowerCase();
  let sorted = "";

  // Made when they are first needed: a page that is only read pays for none of it.
  let texts;
  const textsOf = () => {
    texts ??= new Map(
      rows.map((row) => {
        // The project's id is in its link, …/projects/<id>/information, or else at the row.
        const id = row.dataset.id ?? row.querySelector("a").hash.split("/").at(-2);
        return [row, plain(`${Array.from(row.cells, (cell) => cell.textContent).join("\n")}\n${id}`)];
      }),
    );
    return texts;
  };
  const keys = new Map();
  const keysOf = (column) => {
    if (!keys.has(column)) {
      const isNumber = heads[column].classList.contains("n");
      const key = (cell) => {
        const text = cell.dataset.key ?? cell.textContent;
        if (text === "") return null;
        return isNumber ? Number(text.replaceAll(",", "")) : text;
      };
      keys.set(column, new Map(rows.map((row) => [row, key(row.cells[column])])));
    }
    return keys.get(column);
  };

  const say = (shown) => {
    const many = rows.length === 1 ? "1 project" : `${number.format(rows.length)} projects`;
    find("shown").textContent = `${number.format(shown)} of ${many} shown${sorted}`;
    find("nothing").hidden = shown > 0 || rows.length === 0;
  };

  let shown = rows.length;
  const filter = () => {
    const wanted = plain(words.value).split(/\s+/).filter(Boolean);
    const choice = status.value;
    shown = 0;
    for (const row of rows) {
      const word = row.cells[statusAt].textContent;
      const isComplete = word === "complete" && !row.hasAttribute("data-unfetched");
      const fits =
        (choice === "" || (choice === "not-complete" ? !isComplete : choice === `=${word}`)) &&
        (wanted.length === 0 || wanted.every((piece) => textsOf().get(row).includes(piece)));
      if (row.hidden === fits) row.hidden = !fits;
      if (fits) shown += 1;
    }
    say(shown);
  };

  const sort = (column) => {
    const head = heads[column];
    const descending = head.getAttribute("aria-sort") === "ascending";
    const values = keysOf(column);
    const places = new Map(rows.map((row, place) => [row, place]));
    const compare = (one, other) => {
      const [a, b] = [values.get(one), values.get(other)];
      const tie = places.get(one) - places.get(other);
      if (a === null || b === null) return (a === null) - (b === null) || tie; // blanks stay last
      const difference = typeof a === "number" ? a - b : collator.compare(a, b);
      return (descending ? -difference : difference) || tie;
    };
    body.replaceChildren(...rows.slice().sort(compare));
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    sorted = `, by ${head.textContent.toLowerCase()}${descending ? ", last first" : ""}`;
    say(shown);
  };

  // A browser may take a table that is laid out as grids for no table.
  const roles = { TABLE: "table", THEAD: "rowgroup", TBODY: "rowgroup", TFOOT: "rowgroup", TR: "row" };
  for (const part of document.querySelectorAll("table, thead, tbody, tfoot, tr")) {
    part.setAttribute("role", roles[part.tagName]);
  }
  for (const cell of document.querySelectorAll("th, td")) {
    cell.setAttribute("role", { col: "columnheader", row: "rowheader" }[cell.scope] ?? "cell");
  }

  body.addEventListener("mouseover", ({ target }) => {
    const cut = target.closest(".id span");
    if (cut) cut.title = cut.textContent;
  });

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(column));
    head.append(button);
  });
  heads[0].setAttribute("aria-sort", "ascending");

  let due;
  words.addEventListener("input", () => {
    clearTimeout(due);
    due = setTimeout(filter, 80);
  });
  status.addEventListener("change", filter);
  const controls = find("controls");
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("reset", () => setTimeout(filter));
  controls.hidden = false;
  filter(); // the browser may have kept what was typed before a reload
})();
