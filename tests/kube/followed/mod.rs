//! What changes in the cluster changes in the table.

mod both_objects;
mod chosen_objects;
mod each_fails_alone;
mod first_lists;
mod moved_pods;
mod single_namespaces;
mod slices_of_a_service;
