// Which invalidation is looked at: an operation, one of its orders, the first or the longest; as a drawing and as a table.

const orderKey = (order) => order.join(' ');

/** `profiles`: [{ name, data }]. Returns the section and `look(profile, operation, order)` for others that lead here. */
function timelines(profiles) {
  const with_ = profiles.filter(({ data }) => data.timelines.length > 0);
  if (with_.length === 0) return { node: h('p', { class: 'empty' }, 'The recording has no invalidation that could be shown event by event.'), look: () => false, has: () => false };
  const at = { profile: 0, operation: with_[0].data.timelines[0].operation, order: null, which: 0, view: 'drawing' };
  const chart = timelineChart();
  const choosers = h('div', { class: 'tools' });
  const about = h('div', { class: 'about' });
  const listed = h('div');
  const unique = (list) => [...new Set(list)];

  function options() {
    const { data } = with_[at.profile];
    const operations = unique(data.timelines.map((timeline) => timeline.operation));
    if (!operations.includes(at.operation)) at.operation = operations[0];
    const mine = data.timelines.filter((timeline) => timeline.operation === at.operation);
    const orders = unique(mine.map((timeline) => orderKey(timeline.order)));
    if (!orders.includes(at.order)) at.order = orders[0];
    const found = mine.filter((timeline) => orderKey(timeline.order) === at.order);
    at.which = Math.min(at.which, found.length - 1);
    return { operations, orders, found, operation: data.operations.find(({ name }) => name === at.operation) };
  }
  function draw() {
    const { operations, orders, found, operation } = options();
    const times = (order) => operation?.signatures.find((signature) => orderKey(signature.order) === order)?.count;
    const change = (field) => (value) => { at[field] = field === 'profile' || field === 'which' ? Number(value) : value; draw(); };
    choosers.replaceChildren(...[
      with_.length > 1 && select('Recording', with_.map(({ name }, n) => [String(n), name]), String(at.profile), change('profile')),
      select('Operation', operations.map((name) => [name, name]), at.operation, change('operation')),
      select('Order', orders.map((order, n) => [order, `${n + 1}: ${order.replaceAll(' ', ' → ')}${times(order) === undefined ? '' : ` (${exact(times(order))} times)`}`]), at.order, change('order')),
      found.length > 1 && choice('Which of them', found.map((timeline, n) => [String(n), `${timeline.chosen} (${microseconds(timeline.took_us)})`]), String(at.which), change('which')),
      choice('View', [['drawing', 'Drawing'], ['table', 'Table']], at.view, (view) => { at.view = view; views(); }),
    ].filter(Boolean));
    const timeline = found[at.which];
    about.replaceChildren(h('h4', null, h('code', null, timeline.operation), h('span', { class: 'n' }, `the ${timeline.chosen} of its order`)), chain(timeline.order),
      facts([['made by', timeline.thread], ['where', `[${timeline.start}, ${timeline.end})`], ['announced', `${seconds(timeline.at_us / 1e6)} after the first event`], ['took', microseconds(timeline.took_us)], ['events', exact(timeline.events.length)]]));
    listed.replaceChildren(eventTable(timeline.events, `Events of an invalidation by ${timeline.operation}`));
    chart.show(timeline);
    views();
  }
  function views() {
    chart.home.hidden = at.view !== 'drawing';
    listed.hidden = at.view !== 'table';
  }
  paper.push({ before() { chart.home.hidden = false; listed.hidden = false; }, after: views });
  const node = h('div', { class: 'timelines' }, choosers, about, chart.home, listed);
  draw();
  return {
    node,
    has: (profile, operation, order) => with_.some((one) => one === profile && one.data.timelines.some((timeline) => timeline.operation === operation && orderKey(timeline.order) === orderKey(order))),
    look(profile, operation, order) {
      Object.assign(at, { profile: with_.indexOf(profile), operation, order: orderKey(order), which: 0 });
      draw();
      node.scrollIntoView({ block: 'start' });
      node.querySelector('.stage').focus({ preventScroll: true });
    },
  };
}

/** Events as a table: of an invalidation, or of a break of a rule. */
function eventTable(events, caption) {
  const from = events[0]?.at_us ?? 0;
  return table({
    caption, unit: 'event', rows: events, search: events.length > 12,
    columns: [
      { title: 'at', number: true, value: (event) => event.at_us, cell: (event) => (Math.abs(event.at_us) < 1e4 ? microseconds(event.at_us).replace('-', '−') : `${(event.at_us / 1e6).toFixed(6)} s`) },
      { title: 'since the first', number: true, value: (event) => event.at_us - from, cell: (event) => `+${microseconds(event.at_us - from)}` },
      events[0]?.stage && { title: 'stage', value: (event) => event.stage, cell: (event) => chip(event.stage) },
      { title: 'CPU', number: true, value: (event) => event.cpu },
      { title: 'thread', value: (event) => event.tid === undefined ? event.thread : `${event.thread} (${event.tid})` },
      { title: 'event', value: (event) => event.event, cell: (event) => h('code', null, event.event) },
      { title: 'what it says', value: (event) => event.text, cell: (event) => h('code', { class: 'wrap' }, event.text) },
    ].filter(Boolean),
  });
}
