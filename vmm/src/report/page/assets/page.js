// The whole: verdicts first, then a group for each result, the way through them, light and dark, and paper.

const data = JSON.parse(document.getElementById('data').textContent);
const main = document.getElementById('main');
const nav = document.getElementById('nav');

const KINDS = { run: 'run', matrix: 'matrix', mutate: 'mutants', check: 'check', litmus: 'litmus tests', 'litmus-diff': 'comparison of litmus tests', trace: 'trace', compare: 'comparison of recordings', unknown: 'unknown' };

function theme() {
  // Where there is no storage (some browsers have none for files), it is not remembered.
  const key = 'nostale-theme';
  let chosen = 'auto';
  try { chosen = localStorage.getItem(key) ?? 'auto'; } catch { /* not remembered */ }
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const root = document.documentElement;
  const apply = (paper = false) => { root.dataset.theme = paper ? 'light' : chosen === 'auto' ? (dark.matches ? 'dark' : 'light') : chosen; };
  dark.addEventListener('change', () => apply());
  paper.push({ before: () => apply(true), after: () => apply() });
  apply();
  return choice('Colours', [['auto', 'Auto'], ['light', 'Light'], ['dark', 'Dark']], ['auto', 'light', 'dark'].includes(chosen) ? chosen : 'auto', (value) => {
    chosen = value;
    try { localStorage.setItem(key, value); } catch { /* not remembered */ }
    apply();
  });
}

function printing() {
  let on = false;
  const set = (wanted) => {
    if (on === wanted) return;
    on = wanted;
    for (const each of paper) each[wanted ? 'before' : 'after']();
  };
  addEventListener('beforeprint', () => set(true));
  addEventListener('afterprint', () => set(false));
  matchMedia('print').addEventListener('change', (event) => set(event.matches));
}

const links = [];
function part(group, id, title, content, level = 'h3') {
  const inside = [content].flat(Infinity).filter(Boolean);
  if (inside.length === 0) return null;
  const node = h('section', { id, class: 'part', 'aria-labelledby': `${id}-title` }, h(level, { id: `${id}-title` }, title), inside);
  group.append(node);
  links.push({ id, title, node });
  return node;
}
function heading(id, title, kind, headline) {
  const node = h('div', { class: 'group', id }, h('h2', null, headline && badge(headline.word, headline.tone), ' ', h('span', null, title), h('span', { class: 'kind' }, kind)));
  main.append(node);
  links.push({ id, title, node, group: true });
  return node;
}

function hero(document) {
  const { headline } = document;
  return h('section', { class: 'hero', 'data-tone': headline.tone, 'aria-label': 'Verdict' },
    h('p', { class: 'kind' }, `${KINDS[document.kind]} · ${document.path}`),
    h('h1', null, h('span', { class: 'sign', 'aria-hidden': 'true' }, { held: '✓', broken: '✗', unproved: '?', skipped: '–' }[headline.tone] ?? '·'), headline.word),
    h('p', { class: 'sentence' }, headline.text),
    headline.replay.length > 0 && h('div', { class: 'replays' }, h('p', null, headline.replay.length === 1 ? 'Replay it with' : 'Replay them with'), headline.replay.map(command)));
}

function overview(documents, others) {
  const results = h('div', { class: 'overview' });
  if (documents.length === 1) results.append(hero(documents[0]));
  else {
    const rank = ['broken', 'unproved', 'held', 'skipped', 'nothing'];
    const worst = rank.find((tone) => documents.some(({ headline }) => headline.tone === tone));
    const counts = rank.map((tone) => [tone, documents.filter(({ headline }) => headline.tone === tone).length]).filter(([, n]) => n > 0);
    results.append(h('section', { class: 'hero', 'data-tone': worst, 'aria-label': 'Verdict' },
      h('h1', null, h('span', { class: 'sign', 'aria-hidden': 'true' }, { held: '✓', broken: '✗', unproved: '?', skipped: '–' }[worst] ?? '·'), { held: 'all held', broken: 'broken', unproved: 'unproved', skipped: 'skipped' }[worst] ?? 'nothing to judge'),
      h('p', { class: 'sentence' }, `${many(documents.length, 'result')}: ${counts.map(([tone, n]) => `${n} ${tone}`).join(', ')}`)),
    h('ul', { class: 'cards' }, documents.map((document) => h('li', { 'data-tone': document.headline.tone },
      h('a', { href: `#${document.id}` }, badge(document.headline.word, document.headline.tone), h('b', null, document.name), h('span', { class: 'kind' }, KINDS[document.kind])),
      h('p', null, document.headline.text), document.headline.replay.slice(0, 1).map(command)))));
  }
  if (others.length > 0 || data.left_out > 0) {
    results.append(h('section', { class: 'others' }, h('h3', null, 'Not shown'),
      plain('Documents that are not shown', ['document', 'why'], others.map((document) => [h('code', null, document.path), document.problem ?? document.headline.text])),
      data.left_out > 0 && h('p', null, `${data.left_out} more documents are left out.`)));
  }
  main.append(results);
}

const SECTIONS = {
  run(group, id, document) {
    const report = document.data;
    part(group, `${id}-violations`, 'What broke', violations(report.scenarios, document.ticks_per_us));
    part(group, `${id}-scenarios`, 'Scenarios', scenarios(report.scenarios, document.ticks_per_us));
    part(group, `${id}-environment`, 'Environment', hostFacts(report, document));
  },
  matrix(group, id, { data: report }) {
    part(group, `${id}-violations`, 'What broke', report.kernels.map((kernel) => violations(kernel.scenarios, null, kernelName(kernel))));
    part(group, `${id}-map`, 'Scenarios by kernel', heatMap(report));
    part(group, `${id}-kernels`, 'Kernels', kernelTable(report));
    part(group, `${id}-environment`, 'Environment', matrixSetup(report));
  },
  mutate(group, id, { data: report }) {
    report.kernels.forEach((kernel, n) => part(group, `${id}-${n}`, `Mutants of ${kernel.release}`, campaign(kernel)));
    part(group, `${id}-environment`, 'Environment', [facts([['seed', hex(report.seed)], ['time for each mutant', seconds(report.seconds)]]), notes(report.notes)]);
  },
  check(group, id, { data: report }) { part(group, `${id}-cases`, 'Models', cases(report)); },
  litmus(group, id, { data: report }) { part(group, `${id}-tests`, 'Litmus tests', litmusTests(report)); },
  compare(group, id, { data: report }) {
    part(group, `${id}-relevant`, 'Against the rules, and new', relevant(report));
    part(group, `${id}-orders`, 'Orders compared', [comparedOrders(report), fold('What the stages mean', legend)]);
    part(group, `${id}-times`, 'Times compared', comparedTimes(report));
    part(group, `${id}-rules`, 'Rules compared', comparedRules(report));
    part(group, `${id}-environment`, 'Recordings compared', comparedSides(report));
  },
  'litmus-diff'(group, id, { data: report }) { part(group, `${id}-pairs`, 'Litmus tests compared', litmusDiff(report)); },
};

/** Recordings are shown together: what they are recorded for is to be compared. */
function traces(group, id, profiles) {
  const shown = timelines(profiles);
  part(group, `${id}-broken`, 'What broke', profiles.flatMap(({ data: profile, name }) => profile.rules.filter(({ state }) => state === 'broken').map((rule) => h('article', { class: 'finding' }, h('h4', null, badge(rule.name, 'broken'), ` ${rule.says}`, profiles.length > 1 && h('span', { class: 'n' }, name)), h('p', null, `${exact(rule.breaks)} breaks in ${exact(rule.checks)} checks.`), rule.examples.slice(0, 1).map(breakOf)))));
  part(group, `${id}-timelines`, 'Timelines', shown.node);
  part(group, `${id}-latencies`, 'Latencies', latencies(profiles));
  part(group, `${id}-orders`, 'Orders of stages', orders(profiles, shown.look, shown.has));
  part(group, `${id}-rules`, 'Rules', rules(profiles));
  part(group, `${id}-environment`, 'Environment', recording(profiles));
}

function navigation() {
  const items = links.map(({ id, title, group }) => h('li', { class: group ? 'of-group' : null }, h('a', { href: `#${id}` }, title)));
  nav.append(h('ul', null, items));
  const seen = new Set();
  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) seen[isIntersecting ? 'add' : 'delete'](target.id);
    const first = links.findIndex(({ id, group }) => !group && seen.has(id));
    items.forEach((item, n) => (n === first ? item.firstChild.setAttribute('aria-current', 'true') : item.firstChild.removeAttribute('aria-current')));
  }, { rootMargin: '-15% 0px -60% 0px' });
  for (const { node, group } of links) if (!group) watch.observe(node);
}

function build() {
  document.getElementById('title').textContent = data.title;
  document.getElementById('controls').append(theme(), h('button', { type: 'button', onclick: () => print() }, 'Print'));
  const shown = data.documents.filter((document) => !document.problem && document.kind !== 'unknown');
  const profiles = shown.filter(({ kind }) => kind === 'trace');
  const alone = shown.length === 1 || shown.length === profiles.length;
  shown.forEach((document, n) => { document.id = document.kind === 'trace' ? 'traces' : `result-${n + 1}`; });
  overview(shown, data.documents.filter((document) => !shown.includes(document)));
  for (const document of shown.filter(({ kind }) => kind !== 'trace')) SECTIONS[document.kind](alone ? main : heading(document.id, document.name, KINDS[document.kind], document.headline), document.id, document);
  if (profiles.length > 0) {
    if (alone) main.append(h('div', { id: 'traces' }));
    traces(alone ? main : heading('traces', profiles.length === 1 ? profiles[0].name : `${profiles.length} recordings`, 'trace', profiles.length === 1 ? profiles[0].headline : null), 'traces', profiles);
  }
  main.append(h('footer', null, `Made by nostale ${data.version}. Everything is in this file.`));
  navigation();
  printing();
  // What an address asks for is only there now.
  document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView({ behavior: 'instant' });
}

try {
  build();
} catch (error) {
  main.append(h('p', { class: 'hero', 'data-tone': 'broken' }, `This page could not be drawn: ${error}. What it is about is in table.txt and the JSON documents beside it.`));
  throw error;
}
