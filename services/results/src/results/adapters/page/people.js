// The list of enrolled people, and the dialog that enrols by photo, renames and deletes.

import { addFace, deleteFace, erase, photo, rename } from "./api.js";
import { byId, element, notice } from "./dom.js";
import { enrolAs } from "./why.js";

/** Show who is enrolled and looked for; say what to do while nobody is. */
export function showPeople({ persons, pagination }, changed) {
  const search = byId("find-person");
  search.hidden = !search.value && !pagination.has_more;
  byId("more-people").hidden = !pagination.has_more;
  byId("nobody").hidden = Boolean(search.value) || persons.some((person) => person.face_count > 0);
  byId("people").replaceChildren(...persons.map((person) => element(
    "li", { "data-person": person.person_id },
    element("span", { className: "grow", textContent: person.name }),
    element("small", { textContent: samples(person.face_count) }),
    element("button", { type: "button", textContent: "Edit", onclick: () => edit(person, changed) }),
  )));
}

const samples = (count) => `${count} ${count === 1 ? "sample" : "samples"}`;

/** Offer to enrol somebody by a photo. */
export function addByPhoto(changed) {
  const name = textField("Name", "");
  const file = fileField();
  const agreed = element("input", { type: "checkbox", name: "consent", required: true });
  open("Add by photo", changed, "Enrol", async () => {
    await enrolAs(name.value.trim(), await photo(file.files[0]));
  }, name, file, element("label", {}, agreed, " This person has consented to face recognition."));
}

function edit(person, changed) {
  const name = textField("Name", person.name);
  const file = fileField();
  file.required = false;
  const faces = element("ul", {}, ...person.faces.map((face, index) => element(
    "li", {},
    `Sample ${index + 1}, quality ${face.quality_score} `,
    act("Delete sample", () => deleteFace(person.person_id, face.face_id), changed),
  )));
  open(person.name, changed, "Save", async () => {
    if (name.value.trim() !== person.name) await rename(person.person_id, name.value.trim());
    if (file.files[0]) await addFace(person.person_id, await photo(file.files[0]));
  }, name, faces, element("label", {}, "Add a photo ", file),
  act("Delete person", () => erase(person.person_id), changed));
}

function act(label, action, changed) {
  return element("button", {
    type: "button", className: "danger", textContent: label,
    onclick: async () => {
      if (!confirm(`${label}?`)) return;
      try { await action(); } catch (error) { notice(error.message); }
      byId("person").close();
      changed();
    },
  });
}

function open(title, changed, submit, action, ...fields) {
  const dialog = byId("person");
  const problem = element("div", { className: "problem", role: "alert" });
  const form = element(
    "form", { method: "dialog" }, ...fields, problem,
    element(
      "div", { className: "actions" },
      element("button", { type: "button", textContent: "Close", onclick: () => dialog.close() }),
      element("button", { type: "submit", className: "primary", textContent: submit }),
    ),
  );
  form.onsubmit = async (event) => {
    event.preventDefault();
    problem.textContent = "Working …";
    try {
      await action();
      dialog.close();
      changed();
    } catch (error) {
      problem.textContent = error.message;
    }
  };
  dialog.replaceChildren(element("h3", { textContent: title }), form);
  dialog.showModal();
}

const textField = (label, value) => element("input", {
  type: "text", name: "name", required: true, maxLength: 200, value, placeholder: label,
  "aria-label": label, autocomplete: "off",
});
const fileField = () => element("input", {
  type: "file", name: "photo", accept: "image/jpeg,image/png", required: true, "aria-label": "Photo",
});
