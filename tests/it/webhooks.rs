//! Webhooks over real sockets: what is accepted, what is refused with which words, and what it costs whoever is attacked.

mod corpus;
mod deliveries;
mod hostile;
mod memory;
mod stage;
mod told;
