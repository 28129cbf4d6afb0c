// Asks for a token and remembers it.

import { signIn } from "./api.js";
import { byId, element } from "./dom.js";

/** Ask until a token is accepted, then load the page anew. */
export function askForToken(why) {
  const dialog = byId("sign-in");
  const field = element("input", { type: "password", required: true, "aria-label": "Token", placeholder: "Token" });
  const problem = element("div", { className: "problem", textContent: why ?? "" });
  const form = element(
    "form", { method: "dialog" }, field, problem,
    element("div", { className: "actions" }, element("button", { type: "submit", className: "primary", textContent: "Sign in" })),
  );
  form.onsubmit = async (event) => {
    event.preventDefault();
    try {
      await signIn(field.value.trim());
      location.reload();
    } catch (error) {
      problem.textContent = error.message;
    }
  };
  dialog.replaceChildren(element("h3", { textContent: "Sign in" }), element("small", { textContent: "`mesh token` issues tokens." }), form);
  dialog.oncancel = (event) => event.preventDefault();
  dialog.showModal();
}
