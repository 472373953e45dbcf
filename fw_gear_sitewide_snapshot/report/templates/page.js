"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const table = find("table");
  const body = table.tBodies[0];
  const heads = Array.from(table.tHead.rows[0].cells);
  const words = find("words");
  const group = find("group");
  const status = find("status");
  const fields = [words, group, status];
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const number = new Intl.NumberFormat("en");
  const plain = (text) => text.normalize("NFC").toLowerCase();

  // A browser may take a table that is laid out as grids for no table.
  const roles = { TABLE: "table", THEAD: "rowgroup", TBODY: "rowgroup", TFOOT: "rowgroup", TR: "row" };
  for (const part of document.querySelectorAll("table, thead, tbody, tfoot, tr")) {
    part.setAttribute("role", roles[part.tagName]);
  }
  for (const cell of document.querySelectorAll("th, td")) {
    cell.setAttribute("role", { col: "columnheader", row: "rowheader" }[cell.scope] ?? "cell");
  }

  // A row is the report's cells, some facts, and the table's cells, which are the last ones. 0 stands
  // for the cell above, another number for the cell at that place of the row.
  let above = [];
  const [names, ...rows] = JSON.parse(find("data").textContent).map((line) => {
    above = line.map((cell, place) => (cell === 0 ? above[place] : cell));
    return above.map((cell) => (typeof cell === "number" ? above[cell - 1] : cell));
  });
  const at = Object.fromEntries(names.map((name, place) => [name, place]));
  const firstShown = names.length - heads.length;
  const shownIn = (row) => row.slice(firstShown);

  // The elements of the first rows have come with the page; the others are made like the first one.
  const elements = new Map(Array.from(body.rows, (element, place) => [rows[place], element]));
  const atOnce = elements.size;
  const pattern = body.rows[0]?.cloneNode(true);
  const make = (row) => {
    const made = pattern.cloneNode(true);
    const link = made.querySelector("a");
    if (link) link.href = link.href.replace(rows[0][at.project_id], row[at.project_id]);
    for (const [place, text] of shownIn(row).entries()) {
      const cell = made.cells[place];
      (cell.firstElementChild ?? cell).textContent = text;
    }
    made.className = row[at.size_bytes] === "" ? "bare" : "";
    made.querySelector(".mark").className = `mark ${row[at.kind]}`;
    return made;
  };
  const elementOf = (row) => {
    if (!elements.has(row)) elements.set(row, make(row));
    return elements.get(row);
  };

  // Made a second after the page is shown, or when they are first needed.
  let texts;
  const textsOf = (row) => {
    const areIds = shownIn(names).map((name) => /snapshot|checksum/.test(name));
    const made = (of) => {
      const ids = shownIn(of).filter((_, place) => areIds[place]);
      const others = shownIn(of).filter((_, place) => !areIds[place]);
      ids.push(of[at.project_id]);
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

  let sorted = ""; // by what
  let inOrder = rows;
  let found = rows;
  let most = atOnce; // rows that are shown
  const show = () => {
    const shown = found.slice(0, most).map(elementOf);
    const isShown = (element, place) => element === body.rows[place];
    if (shown.length !== body.rows.length || !shown.every(isShown)) body.replaceChildren(...shown);

    const [all, matching, first] = [rows, found, shown].map(({ length }) => number.format(length));
    const isPart = shown.length < found.length;
    find("shown").textContent =
      `${matching} of ${rows.length === 1 ? "1 project" : `${all} projects`} ` +
      `${isPart ? `found, the first ${first} ` : ""}shown${sorted}`;
    find("nothing").hidden = found.length > 0 || rows.length === 0;
    find("more").hidden = !isPart;
    find("more").firstChild.data = `The first ${first} of ${matching} are shown. `;
    for (const button of find("saving").querySelectorAll("button")) {
      button.disabled = found.length === 0;
    }
  };

  const filter = () => {
    const wanted = plain(words.value).split(/\s+/).filter(Boolean);
    const hasStatus = {
      "": () => true,
      "not-complete": (row) => row[at.is_incomplete] !== "",
    }[status.value] ?? ((row) => status.value === `=${row[at["shown status"]]}`);
    found = inOrder.filter(
      (row) =>
        (group.value === "" || group.value === row[firstShown]) &&
        hasStatus(row) &&
        wanted.every((piece) => has(row, piece)),
    );
    most = atOnce;
    show();
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

  // The report's own cells, in its order.
  const save = (name, isPlanned) => {
    const quoted = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
    const isFound = new Set(found);
    const lines = rows.filter((row) => isFound.has(row)).map((row) => row.slice(0, at.kind));
    if (isPlanned) for (const line of lines) line[at.status] = "planned";
    const csv = [names.slice(0, at.kind), ...lines].map((line) => `${line.map(quoted).join(",")}\n`);
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
    const isNumber = head.classList.contains("n");
    const key = at[head.dataset.key] ?? firstShown + column;
    inOrder = rows.slice().sort((one, other) => {
      const [a, b] = [one[key], other[key]];
      if (a === "" || b === "") return (a === "") - (b === ""); // blanks stay last
      const difference = isNumber ? a - b : collator.compare(a, b);
      return descending ? -difference : difference;
    });
    const isFound = new Set(found);
    found = inOrder.filter((row) => isFound.has(row));
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    sorted = `, by ${head.textContent.toLowerCase()}${descending ? ", last first" : ""}`;
    show();
  };

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

  find("more").lastChild.addEventListener("click", () => {
    most += atOnce;
    show();
  });

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
  controls.hidden = find("saving").hidden = find("more").lastChild.hidden = false;
  setTimeout(() => rows.length && textsOf(rows[0]), 1_000);
  if (!recall(location.hash)) filter(); // the browser may have kept what was typed before a reload
})();
