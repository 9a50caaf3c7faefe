//! What a gateway says about itself, its clients and its engines when it passes messages on.

mod api_is_the_clients;
mod digests;
mod hosts_are_checked;
mod locations_lead_back;
mod loops_are_cut;
mod request_ids;
mod who_asked;
