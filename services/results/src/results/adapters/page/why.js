// The dialog of one face: who it is and why, and the form that names it.

import { addFace, enrol, people, personNamed, snapshotUrl } from "./api.js";
import { byId, clock, element, onceTyped, percent } from "./dom.js";
import { labelOf } from "./labels.js";

const SUGGESTED = 10;
const REASONS = {
  matched: "The nearest person is near enough and clearly nearer than the next.",
  below_threshold: "Nobody in the gallery is near enough.",
  ambiguous: "Two people are about equally near.",
  taken: "Another face of the same picture is nearer to that person.",
  low_quality: "The face is unfit for recognition.",
  empty_gallery: "Nobody is enrolled yet.",
  no_embedding: "The face could not be embedded.",
};

/** Show why a face has its name, or none, and offer to enrol it. */
export function showFace(detection, data, changed) {
  const dialog = byId("face");
  const decision = detection.metadata.decision;
  const face = detection.detection_type === "face";
  const unnamed = face ? "Unknown face" : labelOf(detection);
  dialog.replaceChildren(
    element("h3", { textContent: detection.person?.name ?? unnamed }),
    element("small", { textContent: `${data.camera_name}, ${clock(data.timestamp)}` }),
    table([...rows(detection, decision), ...modelRows(data.model_info)]),
    face ? form(detection, changed, dialog) : closing(dialog),
  );
  dialog.showModal();
}

function rows(detection, decision) {
  const list = [];
  if (decision) {
    const [best, second] = decision.candidates;
    list.push(["Why", REASONS[decision.reason] ?? decision.reason]);
    list.push(["Similarity", `${percent(decision.similarity)} (threshold ${percent(decision.threshold)} at ${decision.gallery_size} enrolled)`]);
    if (best) list.push(["Nearest", `${best.name ?? best.person_id} ${percent(best.similarity)}`]);
    if (second) list.push(["Runner-up", `${second.name ?? second.person_id} ${percent(second.similarity)}`]);
    list.push(["Margin", `${percent(decision.margin)} (limit ${percent(decision.margin_limit)})`]);
    list.push(["Pictures fused", String(decision.fused_samples)]);
    list.push(["Model", decision.model_id]);
  }
  for (const rejection of detection.metadata.rejections) list.push(["Unfit", rejection.message]);
  const face = detection.face_attributes;
  if (face) list.push(["Quality", `${face.quality_score} (sharpness ${face.sharpness}, brightness ${face.brightness})`]);
  if (face) list.push(...attributeRows(face));
  const { activity } = detection;
  if (activity) list.push(["Activity", `${activity.name} ${percent(activity.score)} (${activity.model_id})`]);
  list.push(["Detector", percent(detection.confidence)]);
  return list;
}

/** What the opt-in tasks say of a face; nothing where nobody asked. */
function attributeRows({ eye_openness: eyes, mouth_openness: mouth, liveness, age_gender: person }) {
  const list = [];
  if (eyes) list.push(["Eyes open", `left ${percent(eyes.left)}, right ${percent(eyes.right)}`]);
  if (mouth !== undefined) list.push(["Mouth open", percent(mouth)]);
  if (liveness) list.push(["Liveness", `${percent(liveness.score)} (${liveness.model_id})`]);
  if (person) list.push(["Looks like", `${person.age_group}, ${person.gender} ${percent(person.gender_confidence)}`]);
  return list;
}

/** A stand-in for the model that should have run is worth knowing. */
function modelRows(info) {
  if (!info?.fallback_used) return [];
  const models = [info.detection_model, info.recognition_model, ...info.further_models];
  const stood = models.filter((model) => model?.fallback_used);
  return [["Fallback", stood.map((model) => `${model.name} on ${model.device}`).join(", ")]];
}

const closing = (dialog) => element(
  "div", { className: "actions" },
  element("button", { type: "button", textContent: "Close", onclick: () => dialog.close() }),
);

function table(list) {
  const cells = ([name, value]) =>
    element("tr", {}, element("td", { textContent: name }), element("td", { textContent: value }));
  return element("table", {}, element("tbody", {}, ...list.map(cells)));
}

function form(detection, changed, dialog) {
  const name = element("input", { type: "text", name: "name", required: true, maxLength: 200, placeholder: "Name", "aria-label": "Name", autocomplete: "off" });
  const known = element("datalist", { id: "known-people" });
  name.setAttribute("list", known.id);
  name.oninput = () => onceTyped(name, () => suggest(name.value.trim(), known));
  suggest("", known);
  const agreed = element("input", { type: "checkbox", name: "consent", required: true });
  const problem = element("div", { className: "problem", role: "alert" });
  const node = element(
    "form", { method: "dialog" },
    name,
    known,
    element("label", {}, agreed, " This person has consented to face recognition."),
    problem,
    element(
      "div", { className: "actions" },
      element("button", { type: "button", textContent: "Close", onclick: () => dialog.close() }),
      element("button", { type: "submit", className: "primary", textContent: "Enrol this face" }),
    ),
  );
  node.onsubmit = async (event) => {
    event.preventDefault();
    problem.textContent = "Enrolling …";
    try {
      await enrolAs(name.value.trim(), { detection_id: detection.detection_id });
      dialog.close();
      changed();
    } catch (error) {
      problem.textContent = error.message;
    }
  };
  return node;
}

/** Offer names of enrolled people that contain what is typed. */
async function suggest(typed, list) {
  const { persons } = await people(typed, { size: SUGGESTED }).catch(() => ({ persons: [] }));
  list.replaceChildren(...persons.map((person) => element("option", { value: person.name })));
}

/** Add a sample to the person of that name, or create them. */
export async function enrolAs(name, source) {
  const known = await personNamed(name);
  return known ? addFace(known.person_id, source) : enrol(name, source);
}

export const thumbnail = (detectionId) =>
  element("img", {
    alt: "", src: snapshotUrl(detectionId), loading: "lazy",
    onerror: (event) => { event.target.style.visibility = "hidden"; },
  });
