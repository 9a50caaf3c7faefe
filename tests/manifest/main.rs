//! Kthena's manifests: what is read from them, what is said about them, and the way back.

mod annotations;
mod directory;
mod endpoints;
mod examples;
mod fields;
mod hostile;
mod kit;
mod namespaces;
mod places;
mod properties;
mod warnings;
mod way_back;
mod yaml;
