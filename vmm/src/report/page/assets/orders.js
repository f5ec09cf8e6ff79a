// In which orders the stages of invalidations came: for one recording with counts, for several side by side.

function orders(profiles, look, has) {
  const names = [...new Set(profiles.flatMap(({ data }) => data.operations.map(({ name }) => name)))];
  if (names.length === 0) return h('p', { class: 'empty' }, 'No invalidation was seen.');
  const blocks = names.map((name) => {
    const mine = profiles.map(({ data }) => data.operations.find((operation) => operation.name === name));
    return { name, mine, total: mine.reduce((sum, operation) => sum + (operation?.invalidations ?? 0), 0) };
  }).sort((a, b) => b.total - a.total);
  const list = h('div', { class: 'orders' });
  const state = { text: '', all: false };
  const FIRST = 12;
  const more = h('button', { type: 'button', class: 'more', onclick() { state.all = true; draw(); } });
  function draw(print = false) {
    const found = blocks.filter(({ name }) => name.toLowerCase().includes(state.text));
    const limit = state.all || print ? Infinity : FIRST;
    list.replaceChildren(...found.slice(0, limit).map((block) => operationOrders(block, profiles, look, has)));
    more.hidden = found.length <= limit;
    more.textContent = `Show all ${found.length} operations`;
  }
  paper.push({ before: () => draw(true), after: () => draw() });
  draw();
  return h('div', { class: 'ordered' },
    profiles.length > 1 && h('p', { class: 'lead' }, `What is new or gone is so by comparison with ${profiles[0].name}.`),
    h('div', { class: 'tools' }, names.length > 3 && h('input', { type: 'search', placeholder: 'Search operations', 'aria-label': 'Search operations', oninput() { state.text = this.value.trim().toLowerCase(); draw(); } })),
    list, more, fold('What the stages mean', legend));
}

function operationOrders({ name, mine, total }, profiles, look, has) {
  const found = new Map();
  mine.forEach((operation, n) => operation?.signatures.forEach((signature) => {
    const key = orderKey(signature.order);
    if (!found.has(key)) found.set(key, { order: signature.order, counts: profiles.map(() => 0) });
    found.get(key).counts[n] += signature.count;
  }));
  const all = mine.map((operation) => operation?.signatures.reduce((sum, { count: n }) => sum + n, 0) ?? 0);
  const several = profiles.length > 1;
  const rows = [...found.values()].sort((a, b) => b.counts.reduce((x, y) => x + y, 0) - a.counts.reduce((x, y) => x + y, 0));
  const mark = (counts, n) => {
    if (n === 0 || !all[0] || !all[n]) return null;
    if (counts[n] > 0 && counts[0] === 0) return h('span', { class: 'change', 'data-change': 'new' }, '+ new');
    if (counts[n] === 0 && counts[0] > 0) return h('span', { class: 'change', 'data-change': 'gone' }, '− gone');
    return null;
  };
  const cell = ({ order, counts }, n) => {
    const there = has(profiles[n], name, order);
    return h('td', { class: 'share' },
      counts[n] > 0 ? meter(counts[n] / all[n], `${exact(counts[n])} · ${percent(counts[n] / all[n])}`) : h('span', { class: 'none' }, all[n] ? '0' : missing), mark(counts, n),
      there && h('button', { type: 'button', class: 'small', 'aria-label': `Timeline of ${name}: ${order.join(', ')}`, onclick: () => look(profiles[n], name, order) }, 'Timeline'));
  };
  return h('section', { class: 'order-block', 'aria-label': name },
    h('h4', null, h('code', null, name), h('span', { class: 'n' }, `${exact(total)} invalidations, ${many(rows.length, 'order')}`)),
    h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': `Orders of ${name}` }, h('table', { class: several ? 'side-by-side' : null },
      h('thead', { class: several ? null : 'hidden' }, h('tr', null, h('th', { scope: 'col' }, 'order'), profiles.map((profile) => h('th', { scope: 'col' }, several ? profile.name : 'times')))),
      h('tbody', null, rows.map((row) => h('tr', null, h('th', { scope: 'row' }, chain(row.order)), profiles.map((_, n) => cell(row, n))))))));
}
