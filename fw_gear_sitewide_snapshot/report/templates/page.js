"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const table = find("table");
  const body = table.tBodies[0];
  const heads = Array.from(table.tHead.rows[0].cells);
  const rows = Array.from(body.rows);
  const words = find("words");
  const group = find("group");
  const status = find("status");
  const fields = [words, group, status];
  const statusAt = heads.findIndex((head) => head.textContent === "Status");
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const number = new Intl.NumberFormat("en");
  const plain = (text) => text.normalize("NFC").toLowerCase();
  let sorted = "";

  // Made a second after the page is shown, or when they are first needed.
  let texts;
  const textsOf = (row) => {
    const made = (of) => {
      // The project's id is in its link, …/projects/<id>/information, or else at the row.
      const ids = [of.dataset.id ?? of.querySelector("a").hash.split("/").at(-2)];
      const others = [];
      for (const cell of of.cells) (cell.className === "id" ? ids : others).push(cell.textContent);
      return [of, { ids: plain(ids.join("\n")), others: plain(others.join("\n")) }];
    };
    texts ??= new Map(rows.map(made));
    return texts.get(row);
  };
  const mayBeId = (piece) => /^[0-9a-f]{6,}$/.test(piece);
  const has = (row, piece) => {
    const { ids, others } = textsOf(row);
    return others.includes(piece) || (mayBeId(piece) && ids.includes(piece));
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
    for (const button of find("saving").querySelectorAll("button")) button.disabled = shown === 0;
  };

  let shown = rows.length;
  const filter = () => {
    const wanted = plain(words.value).split(/\s+/).filter(Boolean);
    const [name, choice] = [group.value, status.value];
    shown = 0;
    for (const row of rows) {
      const word = row.cells[statusAt].textContent;
      const isComplete = word === "complete" && !row.hasAttribute("data-unfetched");
      const fits =
        (name === "" || name === row.cells[0].textContent) &&
        (choice === "" || (choice === "not-complete" ? !isComplete : choice === `=${word}`)) &&
        wanted.every((piece) => has(row, piece));
      if (row.hidden === fits) row.hidden = !fits;
      if (fits) shown += 1;
    }
    say(shown);
    remember();
  };

  // The filter is kept in the page's address, #words=…&group=…&status=…, to be sent to others.
  const remember = () => {
    const set = fields.filter((field) => field.value !== "");
    const state = new URLSearchParams(set.map((field) => [field.id, field.value]));
    find("controls").classList.toggle("filtering", set.length > 0);
    if (set.length === 0 && !location.hash.includes("=")) return;
    try {
      history.replaceState(null, "", set.length ? `#${state}` : location.href.split("#")[0]);
    } catch {
      // A page that is shown within another one may have no address of its own.
    }
  };
  const recall = (hash) => {
    if (!hash.includes("=")) return false;
    const state = new URLSearchParams(hash.slice(1));
    for (const field of fields) {
      field.value = state.get(field.id) ?? "";
      if (field.selectedIndex === -1) field.selectedIndex = 0;
    }
    filter();
    find("projects").scrollIntoView();
    return true;
  };

  // The report's own cells, in the order of the rows; 0 stands for the one above.
  const save = (name, isPlanned) => {
    const [columns, ...lines] = JSON.parse(find("report").textContent);
    const statusColumn = columns.indexOf("status");
    const quoted = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
    const csv = [`${columns.join(",")}\n`];
    let above = [];
    lines.forEach((line, place) => {
      const cells = line.map((cell, column) => (cell === 0 ? above[column] : cell));
      above = cells.slice();
      if (rows[place].hidden) return;
      if (isPlanned) cells[statusColumn] = "planned";
      csv.push(`${cells.map(quoted).join(",")}\n`);
    });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(csv, { type: "text/csv" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  };
  find("save").addEventListener("click", () => save("snapshot_report_shown.csv", false));
  find("plan").addEventListener("click", () => save("snapshot_report_planned.csv", true));

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
    const cut = target.closest(".id, .id span");
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
  group.addEventListener("change", filter);
  status.addEventListener("change", filter);
  const controls = find("controls");
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("reset", () => setTimeout(filter));
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#group="]');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault(); // or a second click on the same group would do nothing
    recall(link.hash);
    find("projects").focus({ preventScroll: true });
  });
  addEventListener("hashchange", () => recall(location.hash));
  controls.hidden = find("saving").hidden = false;
  setTimeout(() => rows.length && textsOf(rows[0]), 1_000);
  if (!recall(location.hash)) filter(); // the browser may have kept what was typed before a reload
})();
