"""Pure rules of recognition: alignment, embeddings, fusion, matching, enrolment."""
