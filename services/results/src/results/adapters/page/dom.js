// Small pieces of the page. Text is always set as text, never as markup.

const TYPED = 200;

/** An element with properties, attributes (`data-…`, `aria-…`) and children. */
export function element(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (key.includes("-")) node.setAttribute(key, value);
    else node[key] = value;
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export const byId = (id) => document.getElementById(id);

/** Show a sentence for a few seconds. */
export function notice(text) {
  const node = byId("notice");
  node.textContent = text;
  node.hidden = false;
  clearTimeout(node.timer);
  node.timer = setTimeout(() => { node.hidden = true; }, 6000);
}

/** Call an action once nothing was typed into a field for a moment. */
export function onceTyped(field, action) {
  clearTimeout(field.timer);
  field.timer = setTimeout(action, TYPED);
}

export const clock = (iso) => new Date(iso).toLocaleTimeString();
export const percent = (value) => value === null || value === undefined ? "–" : value.toFixed(3);
