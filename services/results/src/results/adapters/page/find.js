// The bar above the tiles: which cameras are shown, and how large.

import { byId, element } from "./dom.js";

const SIZE = "sightline-tiles";
/** Without it so few cameras are overlooked at a glance. */
const FEW = 2;
const STATES = ["live", "connecting", "error", "stopped"];
const number = new Intl.NumberFormat("en");
const chosen = { words: [], state: null };
const chips = new Map();
let shown = [];

/** Let people look for cameras by name, place or identifier, by state, and choose the size. */
export function offerSearch() {
  byId("find").oninput = ({ target }) => {
    chosen.words = target.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
    apply();
  };
  for (const state of [null, ...STATES]) {
    const chip = element("button", { type: "button", onclick: () => { chosen.state = state; apply(); } });
    chips.set(state, chip);
    byId("states").append(chip);
  }
  const size = byId("size");
  size.onchange = () => {
    localStorage.setItem(SIZE, size.value);
    byId("cameras").dataset.size = size.value;
  };
  size.value = localStorage.getItem(SIZE) ?? size.value;
  byId("cameras").dataset.size = size.value;
}

/** Count these cameras, and show those that are looked for. */
export function sift(cameras) {
  shown = cameras;
  byId("bar").hidden = cameras.length < FEW;
  apply();
}

function apply() {
  const found = shown.filter(named);
  const of = (state) => (state ? found.filter((camera) => camera.status.state === state) : found);
  const visible = new Set(of(chosen.state).map((camera) => camera.camera_id));
  for (const tile of byId("cameras").querySelectorAll(".tile")) {
    tile.hidden = !visible.has(tile.dataset.camera);
  }
  for (const [state, chip] of chips) {
    chip.textContent = `${state ?? "all"} ${number.format(of(state).length)}`;
    chip.setAttribute("aria-pressed", String(state === chosen.state));
  }
  byId("none").hidden = visible.size > 0 || !shown.length;
}

function named({ name, camera_id: id, location }) {
  const { site, floor, zone } = location ?? {};
  const place = [site, floor === undefined || floor === null ? null : `floor ${floor}`, zone];
  const text = [name, id, ...place].filter(Boolean).join(" ").toLocaleLowerCase();
  return chosen.words.every((word) => text.includes(word));
}
