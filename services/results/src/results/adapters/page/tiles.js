// Camera tiles: the newest picture with the boxes of that very frame.

import { pictureUrl } from "./api.js";
import { byId, element } from "./dom.js";
import { labelOf } from "./labels.js";
import { clockHint, dropped, whyNot } from "./streams.js";

const WIDTH_STEP = 240;
/** A picture that is not so many times as wide as its tile is taken as it is. */
const WORTH_SCALING = 2;
const SETTLED = 200;
const tiles = new Map();
const inView = new Set();
let watch = null;
let settling = null;
/** Half a screen ahead, so that whoever scrolls meets pictures. */
const observer = new IntersectionObserver(look, { rootMargin: "50% 0%" });

/** Calls back with the cameras whose tiles are in view, whenever these change. */
export function onView(callback) {
  watch = callback;
  document.addEventListener("visibilitychange", tellView);
  tellView();
}

function look(entries) {
  for (const { target, isIntersecting } of entries) {
    const id = target.dataset.camera;
    if (isIntersecting) inView.add(id);
    else if (inView.delete(id)) rest(tiles.get(id));
  }
  clearTimeout(settling);
  settling = setTimeout(tellView, SETTLED);
}

/** Nobody looks at a page in the background. */
const tellView = () => watch?.(document.hidden ? [] : inView);

/** A tile out of view has no picture: it would be an old one when it comes back. */
function rest(tile) {
  if (!tile) return;
  tile.image.removeAttribute("src");
  tile.boxes.replaceChildren();
  tile.waiting.hidden = false;
  tile.latency.textContent = "";
}

/** Show exactly these cameras, in this order. */
export function showCameras(cameras) {
  const known = new Set(cameras.map((camera) => camera.camera_id));
  for (const [id, tile] of tiles) {
    if (!known.has(id)) { observer.unobserve(tile.root); tile.root.remove(); tiles.delete(id); inView.delete(id); }
  }
  const wall = byId("cameras");
  byId("no-camera")?.remove();
  for (const [index, camera] of cameras.entries()) {
    const tile = tiles.get(camera.camera_id) ?? addTile(camera);
    if (wall.children[index] !== tile.root) wall.insertBefore(tile.root, wall.children[index] ?? null);
    say(tile.name, camera.name);
    tile.root.setAttribute("aria-label", camera.name);
    showState(camera.camera_id, camera.status, camera.session);
  }
  if (!cameras.length) wall.append(element("p", { id: "no-camera", textContent: "No camera yet." }));
}

/** Show the state of a camera's stream, why it has no picture, what was dropped, and its clock. */
export function showState(cameraId, status, session) {
  const tile = tiles.get(cameraId);
  if (!tile) return;
  const { state } = status;
  tile.root.dataset.state = state;
  say(tile.state, state);
  say(tile.waiting, whyNot(state, status));
  tile.waiting.hidden = state === "live" && tile.image.hasAttribute("src");
  say(tile.hint, clockHint(session?.time));
  say(tile.dropped, dropped(session?.statistics));
}

/** Sets a text only where it changes: screen readers repeat what is set. */
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Show a frame: first its picture, then its boxes; a newer frame overtakes an older one. */
export function showFrame(data, onFace) {
  const tile = tiles.get(data.camera_id);
  if (!tile || data.outcome !== "processed" || data.purpose !== "surveillance") return;
  if (!inView.has(data.camera_id)) return;
  if (tile.loading) { tile.next = [data, onFace]; return; }
  tile.loading = true;
  const picture = new Image();
  const settled = (arrived) => {
    if (inView.has(data.camera_id)) draw(tile, arrived ? picture : null, data, onFace);
    proceed(tile);
  };
  picture.onload = () => settled(true);
  picture.onerror = () => settled(false);
  picture.src = pictureUrl(data.camera_id, data.frame_key, widthOf(tile, data.picture));
}

/** Boxes are drawn even if their picture is gone already. */
function draw(tile, picture, data, onFace) {
  if (picture) {
    tile.image.src = picture.src;
    tile.waiting.hidden = true;
    tile.root.dataset.frameKey = data.frame_key;
    tile.latency.textContent = `${data.processing_time_ms} ms`;
  }
  drawBoxes(tile, data, onFace);
}

/** Pixels to have a large picture scaled to, in steps, so that the gateway makes few sizes. */
function widthOf(tile, picture) {
  const shown = Math.ceil(tile.root.clientWidth * devicePixelRatio / WIDTH_STEP) * WIDTH_STEP;
  return shown && picture.width >= WORTH_SCALING * shown ? shown : null;
}

function proceed(tile) {
  tile.loading = false;
  const next = tile.next;
  tile.next = null;
  if (next) showFrame(...next);
}

function addTile(camera) {
  const tile = {
    image: element("img", { alt: "" }),
    boxes: element("div", { className: "boxes" }),
    waiting: element("div", { className: "waiting" }),
    name: element("b"),
    state: element("span", { "aria-live": "polite" }),
    latency: element("span", { className: "latency", title: "From capture to result" }),
    hint: element("p", { className: "hint" }),
    dropped: element("p", { className: "dropped", title: "Frames that the source gave up, since it began" }),
    loading: false,
    next: null,
  };
  tile.image.removeAttribute("src");
  tile.root = element(
    "article", { className: "tile", "data-camera": camera.camera_id },
    element("div", { className: "view" }, tile.image, tile.boxes, tile.waiting),
    element("footer", {}, tile.name, tile.latency, tile.state),
    tile.hint,
    tile.dropped,
    element("p", { className: "book", title: "What became of every captured frame of the last 24 hours" }),
  );
  tiles.set(camera.camera_id, tile);
  observer.observe(tile.root);
  return tile;
}

function drawBoxes(tile, data, onFace) {
  fit(tile, data.picture);
  tile.boxes.replaceChildren(...data.detections.map((detection) => {
    const { x, y, width, height } = detection.bounding_box.normalized;
    const kind = detection.detection_type;
    const box = element(
      "button",
      {
        type: "button", className: "box", title: "Why?",
        "data-type": kind === "face" ? kind : "object",
        "data-known": kind === "face" ? String(Boolean(detection.person)) : null,
        "data-detection": detection.detection_id,
        onclick: () => onFace(detection, data),
      },
      element("span", { textContent: labelOf(detection) }),
    );
    for (const [side, share] of Object.entries({ left: x, top: y, width, height })) {
      box.style[side] = `${share * 100}%`;
    }
    return box;
  }));
}

/** Lay the boxes over the picture itself, not over the bars that letterboxing leaves. */
function fit(tile, picture) {
  const view = 16 / 9;
  const shape = picture.width / picture.height;
  const wide = Math.min(1, shape / view);
  const tall = Math.min(1, view / shape);
  Object.assign(tile.boxes.style, {
    left: `${(1 - wide) * 50}%`, width: `${wide * 100}%`,
    top: `${(1 - tall) * 50}%`, height: `${tall * 100}%`,
    right: "auto", bottom: "auto",
  });
}
