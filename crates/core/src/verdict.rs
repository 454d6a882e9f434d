//! Goals, attribution, causes, next steps.
