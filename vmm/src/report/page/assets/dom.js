// Elements. Whatever comes from results becomes a text node: nothing here takes markup.

const SVG = 'http://www.w3.org/2000/svg';

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'style') for (const [key, to] of Object.entries(value)) element.style.setProperty(key, to);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false));
  return element;
}

/** An element of HTML, with attributes, listeners (`onclick`) and children. */
const h = (tag, properties, ...children) => fill(document.createElement(tag), properties, children);
/** The same of SVG. */
const svg = (tag, properties, ...children) => fill(document.createElementNS(SVG, tag), properties, children);

let ids = 0;
/** A name that no other element has. */
const fresh = (stem) => `${stem}-${++ids}`;

/** What is told to those who do not see what changed. */
function say(text) {
  document.getElementById('said').textContent = text;
}

// What has to change for paper, and back: pairs of functions.
const paper = [];

const tip = {
  /** Shows lines of text beside a point of the window. */
  show(lines, x, y) {
    const box = document.getElementById('tip');
    box.replaceChildren(...lines.filter(Boolean).map((line, n) => h(n === 0 ? 'b' : 'span', null, line)));
    box.hidden = false;
    const { width, height } = box.getBoundingClientRect();
    const left = Math.min(Math.max(8, x + 14), innerWidth - width - 8);
    const top = y + 18 + height > innerHeight ? y - height - 12 : y + 18;
    box.style.setProperty('transform', `translate(${Math.max(8, left)}px, ${Math.max(8, top)}px)`);
  },
  hide() {
    document.getElementById('tip').hidden = true;
  },
};
addEventListener('scroll', tip.hide, { passive: true });
addEventListener('keydown', (event) => event.key === 'Escape' && tip.hide());

/** A command line with a button that copies it. */
function command(line) {
  const button = h('button', { type: 'button', class: 'small', 'aria-label': `Copy: ${line}`, onclick: copy }, 'Copy');
  async function copy() {
    let done = true;
    try {
      await navigator.clipboard.writeText(line);
    } catch {
      // Pages that came from a file have no clipboard everywhere.
      const area = h('textarea', { class: 'hidden', readonly: true });
      area.value = line;
      document.body.append(area);
      area.select();
      done = document.execCommand('copy');
      area.remove();
      button.focus();
    }
    button.textContent = done ? 'Copied' : 'Not copied';
    say(done ? 'Copied' : 'The browser does not let this page copy');
    setTimeout(() => { button.textContent = 'Copy'; }, 1500);
  }
  return h('div', { class: 'command' }, h('code', null, line), button);
}

/** Buttons of which one is pressed. `choices` are [value, label]. */
function choice(label, choices, value, choose) {
  const buttons = choices.map(([of, text]) => h('button', {
    type: 'button', 'aria-pressed': String(of === value), 'data-value': of,
    onclick() {
      for (const button of buttons) button.setAttribute('aria-pressed', String(button === this));
      choose(of);
    },
  }, text));
  return h('div', { class: 'choice', role: 'group', 'aria-label': label }, buttons);
}

/** A list to choose from. `choices` are [value, label]. */
function select(label, choices, value, choose) {
  const list = h('select', { onchange: () => choose(list.value) }, choices.map(([of, text]) => h('option', { value: of, selected: of === value }, text)));
  return h('label', { class: 'field' }, h('span', null, label), list);
}

/** Something that is opened when it is wanted, and only made then. */
function fold(summary, make, open = false) {
  const inside = h('div', { class: 'inside' });
  const details = h('details', { ontoggle: () => details.open && ready() }, h('summary', null, summary), inside);
  let made = false;
  function ready() {
    if (!made) inside.append(...[make()].flat(Infinity));
    made = true;
  }
  if (open) {
    ready();
    details.open = true;
  }
  let was = open;
  paper.push({
    before() { was = details.open; ready(); details.open = true; },
    after() { details.open = was; },
  });
  return details;
}

/** A word for how it went: sign, colour and text. */
function badge(word, tone) {
  return h('span', { class: 'badge', 'data-tone': tone }, h('span', { 'aria-hidden': 'true' }, { held: '✓', broken: '✗', unproved: '?', skipped: '–', nothing: '·' }[tone] ?? '·'), word);
}

/** Pairs of a term and what is to be said of it; those without anything are left out. */
function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== undefined && value !== null && value !== '');
  return h('dl', { class: 'facts' }, known.map(([term, value]) => h('div', null, h('dt', null, term), h('dd', null, value))));
}

const notes = (lines, word = 'note') => lines?.length ? h('ul', { class: 'notes' }, lines.map((line) => h('li', null, h('b', null, `${word}: `), line))) : null;
