// The gateway's REST API as the page uses it.

const TOKEN = "sightline-token";
const ACCEPTED = 202;
/** Signs that a search may have; names may be longer. */
const SEARCH = 100;

/** An answer of the gateway that is not a success. */
export class ApiError extends Error {
  constructor(status, error) {
    super(error?.message ?? `The server answered ${status}.`);
    this.status = status;
    this.code = error?.code;
    this.field = error?.field;
    this.limit = error?.limit;
    this.rejections = error?.rejections ?? [];
  }
}

export const token = () => sessionStorage.getItem(TOKEN);

/** Take the token from the address (#token=…), where it reaches no server's log. */
export function takeToken() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  if (found) {
    sessionStorage.setItem(TOKEN, found);
    history.replaceState(null, "", location.pathname);
  }
}

/** Remember a token and let the browser fetch pictures with a same-site cookie. */
export async function signIn(value) {
  sessionStorage.setItem(TOKEN, value);
  await call("POST", "/session");
}

export async function call(method, path, body) {
  const headers = { Authorization: `Bearer ${token()}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(`/api/v1${path}`, {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const answer = response.status === 204 ? {} : await response.json().catch(() => ({}));
  if (!response.ok) throw new ApiError(response.status, answer.error);
  return response.status === ACCEPTED ? outcome(answer.request_id) : answer;
}

/** Ask for the outcome of a request that takes longer, until it is there. */
async function outcome(request) {
  await new Promise((resolve) => { setTimeout(resolve, 1000); });
  return call("GET", `/requests/${request}`);
}

const consent = () => ({
  consent_type: "face_recognition",
  status: "granted",
});

/** The cameras of a list, page by page. */
async function everyCamera(list, page = 1) {
  const { cameras: found, pagination } = await call("GET", `/${list}?page_size=100&page=${page}`);
  return pagination.has_more ? [...found, ...await everyCamera(list, page + 1)] : found;
}

export const cameras = () => everyCamera("cameras");

/** People whose name or employee number contains a text, by name: one page of them. */
export const people = (search, { page = 1, size = 50 } = {}) => {
  const query = new URLSearchParams({ page, page_size: size });
  if (search) query.set("search", search.slice(0, SEARCH));
  return call("GET", `/persons?${query}`);
};

/** The person of exactly this name, if there is one. */
export async function personNamed(name, page = 1) {
  const { persons, pagination } = await people(name, { page, size: 100 });
  const found = persons.find((person) => person.name === name);
  return found || !pagination.has_more ? found : personNamed(name, page + 1);
}

export const health = async () => (await call("GET", "/system/health")).stages;
/** Models that a process has, or had a moment ago; the rest of the registry is left out. */
export async function models() {
  const { tasks, ...lists } = await call("GET", "/models");
  return Object.values(lists).flat().filter((model) => model.state !== "not_loaded");
}
export const sightings = async () => (await call("GET", "/sightings?page_size=40")).sightings;
export const balances = () => everyCamera("ledger");
export const rename = (id, name) => call("PATCH", `/persons/${id}`, { name });
export const erase = (id) => call("DELETE", `/persons/${id}`);
export const deleteFace = (id, face) => call("DELETE", `/persons/${id}/faces/${face}`);

/** Create a person with the face of a detection or a photo; a refused face leaves nobody. */
export const enrol = (name, source) => call("POST", "/persons", { name, ...source, consent: consent() });

export const addFace = (id, source) =>
  call("POST", `/persons/${id}/faces`, { ...source, consent: consent() });

/** A photo file as the API takes it. */
export function photo(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve({ image: reader.result.split(",", 2)[1] });
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

export const pictureUrl = (camera, frameKey, width) =>
  `/api/v1/cameras/${camera}/picture?frame_key=${frameKey}${width ? `&width=${width}` : ""}`;
export const snapshotUrl = (detection) => `/api/v1/detections/${detection}/snapshot`;
