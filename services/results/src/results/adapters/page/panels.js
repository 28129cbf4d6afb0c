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
export function showSighting(sighting, nameOf) {
  const known = seen.get(sighting.sighting_id);
  if (known && known.sighting.revision > sighting.revision) return;
  const name = sighting.person_id ? nameOf(sighting.person_id) ?? sighting.person_name : null;
  const item = element(
    "li", { "data-sighting": sighting.sighting_id, "data-known": String(Boolean(sighting.person_id)) },
    thumbnail(sighting.best_detection_id),
    element("span", { className: "grow", textContent: name ?? "Unknown" }),
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

/** Names changed: write them anew. */
export function renameSightings(nameOf) {
  for (const { sighting, item } of seen.values()) {
    const name = sighting.person_id ? nameOf(sighting.person_id) : null;
    item.querySelector(".grow").textContent = name ?? "Unknown";
  }
}
