-- What further models say: of a face (without the contours), and of a person.
ALTER TABLE results.detections
    ADD COLUMN attributes jsonb,
    ADD COLUMN activity jsonb;
