// Health of each stage, loaded models, and the list of who was seen.

import { byId, clock, element } from "./dom.js";
import { thumbnail } from "./why.js";

const KEPT = 40;
const seen = new Map();

export function showHealth(stages) {
  byId("health").replaceChildren(...Object.entries(stages).map(([name, { state, ...details }]) => element("li", {
    textContent: name, title: `${state} ${JSON.stringify(details)}`, "data-state": state, "data-stage": name,
  })));
}

export function showModels(models) {
  byId("models").replaceChildren(...models.map((model) => element(
    "li", { "data-model": model.model_id, "data-state": model.state, title: standing(model) },
    element("span", { className: "grow", textContent: `${model.name} ${model.version}` }),
    element("small", { textContent: `${model.engine} ${model.device}, ${model.licence}` }),
    model.state === "available" ? null : element("b", { className: "state", textContent: model.state }),
  )));
}

/** What each process says of a model, a line each. */
function standing(model) {
  const lines = model.instances.map((each) => {
    const latency = each.latency_p50_ms === undefined ? "" : `, ${each.latency_p50_ms.toFixed(1)} ms`;
    return `${each.instance_id}: ${each.state}, ${each.engine} ${each.device}${latency}`;
  });
  return [`${model.type}, ${model.state}`, ...lines].join("\n");
}

/** Add or refresh a sighting; the newest is on top. */
export function showSighting(sighting) {
  const known = seen.get(sighting.sighting_id);
  if (known && known.sighting.revision > sighting.revision) return;
  const item = element(
    "li", { "data-sighting": sighting.sighting_id, "data-known": String(Boolean(sighting.person_id)) },
    thumbnail(sighting.best_detection_id),
    element("span", { className: "grow", textContent: nameIn(sighting) }),
    element("small", { title: sighting.camera_name, textContent: `${clock(sighting.started_at)}${sighting.closed ? "" : " …"}` }),
  );
  if (known) known.item.replaceWith(item);
  else byId("events").prepend(item);
  seen.set(sighting.sighting_id, { sighting, item });
  for (const [id, oldest] of seen) {
    if (seen.size <= KEPT) break;
    oldest.item.remove();
    seen.delete(id);
  }
}

/** Show stored sightings, newest first, while there are none; later only their present names. */
export function showStored(stored) {
  if (!seen.size) [...stored].reverse().forEach(showSighting);
  for (const sighting of stored) {
    const known = seen.get(sighting.sighting_id);
    if (!known || known.sighting.revision > sighting.revision) continue;
    known.sighting = sighting;
    known.item.querySelector(".grow").textContent = nameIn(sighting);
  }
}

const nameIn = (sighting) => sighting.person_name ?? "Unknown";
