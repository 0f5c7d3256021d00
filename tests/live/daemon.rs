//! The program itself, kept by a real Consul: what a person, a consumer and an operator see of it, faults included.

mod site;
mod service;
mod rollouts;
mod deletes;
mod faults;
mod controllers;
mod people;
mod tls;
mod tokens;
