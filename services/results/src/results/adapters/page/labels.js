// What a box is called.

/** A face's name, or an object's class and what it seems to do. */
export function labelOf(detection) {
  if (detection.detection_type === "face") return detection.person?.name ?? "Unknown";
  const name = detection.metadata.class_name ?? detection.detection_type;
  return detection.activity ? `${name}: ${detection.activity.name}` : name;
}
