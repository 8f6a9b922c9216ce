/* Tables sort by their headings; long ones filter by words, and by what stands in the columns named below. Without this
   script all is there to read, in the order of the paper. */
(() => {
  "use strict";

  const CHOICES = ["paper", "table", "profile", "data", "verdict"];
  const SORTS_FROM = 3;
  const FILTERS_FROM = 12;
  const MOST_CHOICES = 24;

  const text = (row, column) => (row.cells[column] ? row.cells[column].textContent.trim() : "");
  const isNothing = (cell) => cell === "" || cell === "-";

  /* The number a cell begins with: 78.9 (+0.8), 52.24 ± 0.09, +2.9, 12 of 14, 145 s. */
  const number = (cell) => {
    const found = /^[+\-−]?\d[\d,]*(\.\d+)?/.exec(cell);
    return found ? Number(found[0].replace(/,/g, "").replace("−", "-")) : NaN;
  };

  const compare = (a, b, numeric) => {
    if (isNothing(a) || isNothing(b)) return isNothing(a) - isNothing(b);
    return numeric ? number(a) - number(b) : a.localeCompare(b, "en", { numeric: true });
  };

  const sort = (table, column, way) => {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const cells = rows.map((row) => text(row, column)).filter((cell) => !isNothing(cell));
    const numeric = cells.length > 0 && cells.every((cell) => !Number.isNaN(number(cell)));
    const order = (a, b) => {
      const [x, y] = [text(a, column), text(b, column)];
      /* what is not there comes last either way */
      return isNothing(x) || isNothing(y) ? compare(x, y, numeric) : way * compare(x, y, numeric);
    };
    rows.sort((a, b) => order(a, b) || a.dataset.place - b.dataset.place);
    body.append(...rows);
  };

  const holdsNumbers = (table) =>
    [...table.tHead.rows[0].cells].some((head, column) => {
      const cells = [...table.tBodies[0].rows].map((row) => text(row, column)).filter((cell) => !isNothing(cell));
      return cells.length > 0 && cells.every((cell) => !Number.isNaN(number(cell)));
    });

  const makeSortable = (table) => {
    [...table.tBodies[0].rows].forEach((row, place) => (row.dataset.place = place));
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      head.classList.add("sortable");
      button.addEventListener("click", () => {
        const way = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", way === 1 ? "ascending" : "descending");
        sort(table, column, way);
      });
    });
  };

  const chooser = (name, values, changed) => {
    const select = document.createElement("select");
    select.setAttribute("aria-label", name);
    select.dataset.column = name;
    select.add(new Option(`any ${name}`, ""));
    values.forEach((value) => select.add(new Option(value, value)));
    select.addEventListener("change", changed);
    return select;
  };

  const makeFilterable = (table) => {
    const rows = [...table.tBodies[0].rows];
    const names = [...table.tHead.rows[0].cells].map((head) => head.textContent.trim());
    const tools = document.createElement("div");
    const words = document.createElement("input");
    const told = document.createElement("output");
    const selects = [];
    const changed = () => {
      const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row) => {
        const content = row.textContent.toLowerCase();
        const fits =
          wanted.every((word) => content.includes(word)) &&
          selects.every(([select, column]) => !select.value || text(row, column) === select.value);
        row.classList.toggle("out", !fits);
        shown += fits;
      });
      told.textContent = `${shown} of ${rows.length}`;
    };
    words.type = "search";
    words.placeholder = "filter";
    words.setAttribute("aria-label", "filter rows by words");
    words.addEventListener("input", changed);
    tools.className = "table-tools";
    tools.append(words);
    names.forEach((name, column) => {
      const values = [...new Set(rows.map((row) => text(row, column)))].filter((value) => !isNothing(value)).sort();
      if (CHOICES.includes(name) && values.length > 1 && values.length <= MOST_CHOICES) {
        const select = chooser(name, values, changed);
        selects.push([select, column]);
        tools.append(select);
      }
    });
    tools.append(told);
    const box = table.closest(".table-wrapper") || table;
    box.before(tools);
    changed();
  };

  document.querySelectorAll("article table.docutils").forEach((table) => {
    if (!table.tHead || table.tBodies.length !== 1) return;
    const rows = table.tBodies[0].rows.length;
    if (rows >= SORTS_FROM && holdsNumbers(table)) makeSortable(table);
    if (rows >= FILTERS_FROM) makeFilterable(table);
  });
  document.documentElement.dataset.tables = "ready";
})();
