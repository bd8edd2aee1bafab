"use strict";
// Sorting, filtering and paging of long tables, and details under their rows. Without it every row and detail is on the page.
(() => {
  const SIZES = [50, 200, 1000, Infinity];
  const collator = new Intl.Collator("en", { numeric: true });
  const tables = [];
  const rowOf = new Map();

  const make = (tag, attributes, ...children) => {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  };
  const count = (number) => number.toLocaleString("en-US");

  const numberIn = (text) => {
    if (text.startsWith("∞")) return Infinity;
    const match = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?/i.exec(text.replace(/,/g, "").replace("−", "-"));
    return match ? parseFloat(match[0]) : NaN;
  };

  class Sheet {
    constructor(table) {
      this.table = table;
      this.body = table.tBodies[0];
      this.box = table.closest(".scroll");
      this.heads = [...table.tHead.rows[0].cells];
      this.words = this.heads.map((head) => head.textContent.trim());
      this.size = Number(table.dataset.page) || 50;
      this.rows = [...this.body.rows].map((node, order) => ({ node, order, id: node.id, detail: null }));
      this.chosen = new Map();
      this.query = [];
      this.only = null;
      this.page = 0;
      this.sorted = [-1, 1];
      for (const row of this.rows) {
        if (row.id) rowOf.set(row.id, [this, row]);
        this.addDetail(row);
      }
      this.addSorting();
      if (this.rows.length > 12) this.addControls();
      if (this.rows.length > this.size) this.addPager();
      this.update();
    }

    addSorting() {
      if (this.rows.length < 2) return;
      this.heads.forEach((head, column) => {
        const button = make("button", { type: "button" }, head.textContent);
        head.replaceChildren(button);
        head.setAttribute("aria-sort", "none");
        button.addEventListener("click", () => this.sort(column));
      });
    }

    addControls() {
      this.filter = make("input", { type: "search", spellcheck: "false", autocomplete: "off" });
      this.filter.addEventListener("input", () => {
        this.query = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
        this.update(0);
      });
      const nodes = [make("label", { class: "wide" }, "Filter: words in names", this.filter)];
      this.selects = [];
      this.heads.forEach((head, column) => {
        if (!head.classList.contains("c")) return;
        const values = [...new Set(this.rows.map((row) => row.node.cells[column].textContent.trim()))];
        if (values.length < 2 || values.length > 40) return;
        const select = make("select", {}, make("option", { value: "" }, "all"));
        for (const value of values.sort(collator.compare)) select.append(make("option", { value: "=" + value }, value || "none"));
        select.addEventListener("change", () => {
          if (select.value) this.chosen.set(column, select.value.slice(1));
          else this.chosen.delete(column);
          this.update(0);
        });
        this.selects.push(select);
        nodes.push(make("label", {}, this.words[column], select));
      });
      this.box.before(make("div", { class: "controls", role: "search" }, ...nodes));
    }

    addPager() {
      const back = make("button", { type: "button" }, "Back");
      const next = make("button", { type: "button" }, "Next");
      const sizes = make("select", {});
      for (const size of SIZES) sizes.append(make("option", { value: String(size) }, size === Infinity ? "all" : count(size)));
      sizes.value = String(this.size);
      back.addEventListener("click", () => this.update(this.page - 1));
      next.addEventListener("click", () => this.update(this.page + 1));
      sizes.addEventListener("change", () => { this.size = Number(sizes.value); this.update(0); });
      this.pager = { back, next };
      this.box.after(make("div", { class: "pager" }, back, next, make("label", {}, "Rows a page ", sizes)));
    }

    addDetail(row) {
      const link = row.node.cells[0].querySelector('a[href^="#d"]');
      if (!link) return;
      row.name = link.getAttribute("href").slice(1);
      row.link = link;
      link.setAttribute("role", "button");
      link.setAttribute("aria-expanded", "false");
      const toggle = (event) => { event.preventDefault(); this.toggle(row); };
      link.addEventListener("click", toggle);
      link.addEventListener("keydown", (event) => { if (event.key === " ") toggle(event); });
    }

    toggle(row) {
      if (row.detail) { this.close(row); return; }
      const other = this.rows.find((one) => one.detail && one.name === row.name);
      if (other) this.close(other);
      const detail = document.getElementById(row.name);
      if (!detail) return;
      row.home = detail.parentNode;
      row.detail = make("tr", { class: "open" }, make("td", { colspan: String(this.heads.length) }, detail));
      row.node.after(row.detail);
      row.link.setAttribute("aria-expanded", "true");
    }

    close(row) {
      row.home.append(row.detail.querySelector(".detail"));
      row.detail.remove();
      row.detail = null;
      row.link.setAttribute("aria-expanded", "false");
    }

    sort(column) {
      const numeric = this.heads[column].classList.contains("n");
      const way = this.sorted[0] === column ? -this.sorted[1] : 1;
      this.sorted = [column, way];
      const keys = new Map(this.rows.map((row) => {
        const text = row.node.cells[column].textContent.trim();
        return [row, numeric ? numberIn(text) : text];
      }));
      this.rows.sort((a, b) => {
        const left = keys.get(a), right = keys.get(b);
        if (!numeric) return way * collator.compare(left, right) || a.order - b.order;
        if (Number.isNaN(left) || Number.isNaN(right)) return Number.isNaN(left) - Number.isNaN(right) || a.order - b.order;
        return (left === right ? 0 : way * (left < right ? -1 : 1)) || a.order - b.order;
      });
      this.heads.forEach((head, i) => {
        head.setAttribute("aria-sort", i !== column ? "none" : way > 0 ? "ascending" : "descending");
      });
      this.update(0);
    }

    wordsOf(row) {
      if (row.words === undefined) {
        row.words = this.heads.map((head, i) => (head.classList.contains("t") ? row.node.cells[i].textContent : "")).join(" ").toLowerCase();
      }
      return row.words;
    }

    matches(row) {
      if (this.only && !this.only.has(row.id)) return false;
      for (const [column, value] of this.chosen) if (row.node.cells[column].textContent.trim() !== value) return false;
      return this.query.every((word) => this.wordsOf(row).includes(word));
    }

    found() { return this.rows.filter((row) => this.matches(row)); }

    update(page = this.page) {
      const found = this.found();
      const last = Math.max(0, Math.ceil(found.length / this.size) - 1);
      this.page = Math.min(Math.max(page, 0), last);
      const first = this.size === Infinity ? 0 : this.page * this.size;
      const shown = found.slice(first, first + this.size);
      this.body.replaceChildren(...shown.flatMap((row) => (row.detail ? [row.node, row.detail] : [row.node])));
      if (this.pager) {
        this.pager.back.disabled = this.page === 0;
        this.pager.next.disabled = this.page === last;
      }
      if (this.filter || this.pager) this.tell(found.length, first, shown.length);
    }

    tell(found, first, shown) {
      if (!this.status) {
        this.status = make("span", { role: "status", class: "count" });
        (this.pager ? this.pager.next : this.box).after(this.status);
        if (!this.pager) this.status.className = "note";
      }
      const all = found === this.rows.length ? "" : ` (${count(this.rows.length)} in all)`;
      this.status.textContent = found ? `Rows ${count(first + 1)}–${count(first + shown)} of ${count(found)}${all}` : `No row matches${all}`;
    }

    limit(ids, sentence) {
      this.clear();
      this.only = new Set(ids);
      const all = make("button", { type: "button" }, "Show all rows");
      all.addEventListener("click", () => { this.clear(); this.update(0); });
      this.banner = make("p", { class: "only" }, `Only the rows of: ${sentence} `, all);
      this.box.before(this.banner);
      this.update(0);
      this.table.closest("section").scrollIntoView();
      this.box.focus({ preventScroll: true });
    }

    clear() {
      this.only = null;
      this.banner?.remove();
      this.query = [];
      this.chosen.clear();
      if (this.filter) this.filter.value = "";
      for (const select of this.selects || []) select.value = "";
    }

    reveal(row) {
      if (!this.matches(row)) this.clear();
      this.update(this.size === Infinity ? 0 : Math.floor(this.found().indexOf(row) / this.size));
      document.querySelectorAll("tr.target").forEach((node) => node.classList.remove("target"));
      row.node.classList.add("target");
      row.node.tabIndex = -1;
      row.node.scrollIntoView({ block: "center" });
      row.node.focus({ preventScroll: true });
    }
  }

  const go = (name) => {
    const found = rowOf.get(name);
    if (found) { found[0].reveal(found[1]); return true; }
    for (const sheet of tables) {
      const row = sheet.rows.find((one) => one.name === name);
      if (row) { sheet.reveal(row); if (!row.detail) sheet.toggle(row); return true; }
    }
    return false;
  };

  document.querySelectorAll("section.table table[data-page]").forEach((table) => tables.push(new Sheet(table)));
  const details = document.getElementById("details");
  if (details) details.hidden = true;

  document.addEventListener("click", (event) => {
    const link = event.target.closest("#summary a[href^='#']");
    if (!link) return;
    const ids = (link.dataset.rows || "").split(" ").filter(Boolean);
    if (ids.length && rowOf.has(ids[0])) {
      event.preventDefault();
      rowOf.get(ids[0])[0].limit(ids, link.parentNode.textContent.replace(link.textContent, "").trim());
    } else if (go(link.hash.slice(1))) {
      event.preventDefault();
      history.replaceState(null, "", link.hash);
    }
  });
  window.addEventListener("hashchange", () => go(location.hash.slice(1)));
  if (location.hash) go(location.hash.slice(1));
})();
