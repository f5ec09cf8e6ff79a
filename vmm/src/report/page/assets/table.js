// Tables that can be sorted, searched and filtered; long ones show their first rows until all are wanted.

const SHOWN = 100;
/** On paper nobody can ask for more. */
const PRINTED = 2000;

/**
 * `columns`: { title, value(row) to sort by, if it can be, cell(row) to show, number: true where it is one }.
 * `kinds`: what rows can be filtered by: { label, of(row), tone(kind) }.
 * `first`: as many are shown until all are wanted.
 * `details(row)`: what a row opens to, or nothing.
 */
function table({ caption, columns, rows, kinds, details, search = true, sort, unit = 'row', open, first = SHOWN }) {
  const state = { column: sort?.column ?? -1, down: sort?.down ?? false, text: '', off: new Set(), all: false, opened: new Set(open ? rows.filter(open) : []) };
  const texts = new Map();
  const text = (row) => {
    if (!texts.has(row)) texts.set(row, columns.map(({ value }) => String(value?.(row) ?? '')).join(' ').toLowerCase());
    return texts.get(row);
  };
  const body = h('tbody');
  const shown = h('p', { class: 'shown', role: 'status' });
  const more = h('button', { type: 'button', class: 'more', onclick() { state.all = true; draw(); } });
  const heads = columns.map(({ title, number: isNumber, about, value }, n) => h('th', { scope: 'col', class: isNumber ? 'number' : null, title: about },
    value ? h('button', { type: 'button', onclick() { state.down = state.column === n ? !state.down : Boolean(isNumber); state.column = n; draw(); } }, title, h('span', { class: 'arrow', 'aria-hidden': 'true' })) : title));

  function chosen() {
    let found = rows.filter((row) => (!kinds || !state.off.has(kinds.of(row))) && (!state.text || state.text.split(/\s+/).every((word) => text(row).includes(word))));
    if (state.column >= 0) {
      const { value, number: isNumber } = columns[state.column];
      const compare = isNumber
        ? (a, b) => { const [x, y] = [number(value(a)), number(value(b))]; return Number.isNaN(x) ? 1 : Number.isNaN(y) ? -1 : state.down ? y - x : x - y; }
        : (a, b) => String(value(a) ?? '').localeCompare(String(value(b) ?? ''), 'en', { numeric: true }) * (state.down ? -1 : 1);
      found = [...found].sort(compare);
    }
    return found;
  }
  function line(row) {
    const inside = details?.(row);
    const cells = columns.map(({ cell, value, number: isNumber }, n) => h(n === 0 ? 'th' : 'td', { scope: n === 0 ? 'row' : null, class: isNumber ? 'number' : null }, n === 0 && inside ? null : [cell ? cell(row) : value(row) ?? missing]));
    if (!inside) return [h('tr', null, cells)];
    const under = h('tr', { class: 'under', id: fresh('row'), hidden: true }, h('td', { colspan: columns.length }));
    const button = h('button', { type: 'button', class: 'opens', 'aria-expanded': 'false', 'aria-controls': under.id, onclick: () => toggle(under.hidden) }, h('span', { class: 'sign', 'aria-hidden': 'true' }), columns[0].cell ? columns[0].cell(row) : columns[0].value(row));
    cells[0].append(button);
    function toggle(opens) {
      if (opens && !under.firstChild.firstChild) under.firstChild.append(h('div', { class: 'inside' }, inside()));
      under.hidden = !opens;
      button.setAttribute('aria-expanded', String(opens));
      state.opened[opens ? 'add' : 'delete'](row);
    }
    if (state.opened.has(row) || state.print) toggle(true);
    return [h('tr', null, cells), under];
  }
  function draw() {
    const found = chosen();
    const limit = state.print ? PRINTED : state.all ? Infinity : first;
    body.replaceChildren(...found.slice(0, limit).flatMap(line));
    more.hidden = found.length <= limit;
    more.textContent = `Show all ${found.length} ${plural(unit)}`;
    const part = found.length > limit ? `the first ${limit} of ${found.length}` : found.length === rows.length ? `${found.length}` : `${found.length} of ${rows.length}`;
    shown.textContent = `${part} ${rows.length === 1 ? unit : plural(unit)}`;
    heads.forEach((head, n) => {
      if (n === state.column) head.setAttribute('aria-sort', state.down ? 'descending' : 'ascending');
      else head.removeAttribute('aria-sort');
    });
  }
  const counts = new Map();
  if (kinds) for (const row of rows) counts.set(kinds.of(row), (counts.get(kinds.of(row)) ?? 0) + 1);
  const filters = counts.size > 1 && h('div', { class: 'filters', role: 'group', 'aria-label': kinds.label }, [...counts].map(([kind, n]) => h('button', {
    type: 'button', class: 'filter', 'data-tone': kinds.tone?.(kind), 'data-kind': kind, 'aria-pressed': 'true',
    onclick() {
      const off = this.getAttribute('aria-pressed') === 'true';
      this.setAttribute('aria-pressed', String(!off));
      state.off[off ? 'add' : 'delete'](kind);
      draw();
    },
  }, kind, h('span', { class: 'n' }, n))));
  const field = search && rows.length > 3 && h('input', { type: 'search', placeholder: 'Search', 'aria-label': `Search: ${caption}`, oninput() { state.text = this.value.trim().toLowerCase(); draw(); } });
  const print = { before() { state.print = true; draw(); }, after() { state.print = false; draw(); } };
  paper.push(print);
  draw();
  return h('div', { class: 'tabled' },
    (filters || field) && h('div', { class: 'tools' }, field, filters, shown),
    h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption }, h('table', null, h('caption', { class: 'hidden' }, caption), h('thead', null, h('tr', null, heads)), body)),
    more);
}

/** A table that needs none of that. */
function plain(caption, titles, lines, numbers = []) {
  const row = (cells, tag) => h('tr', null, cells.map((cell, n) => h(tag, { scope: tag === 'th' ? 'col' : null, class: numbers.includes(n) ? 'number' : null }, cell)));
  return h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption }, h('table', null, h('caption', { class: 'hidden' }, caption), h('thead', null, row(titles, 'th')), h('tbody', null, lines.map((line) => row(line, 'td')))));
}

/** A length beside a number. */
function meter(share, label) {
  return h('span', { class: 'meter' }, h('span', { class: 'fill', style: { width: `${Math.max(0, Math.min(1, share || 0)) * 100}%` }, 'aria-hidden': 'true' }), h('span', null, label));
}
