//! The program itself, kept by a real Consul: what a person, a consumer and an operator see of it, faults included.

mod site;
mod service;
mod kept;
mod killer;
mod rollouts;
mod catalog;
mod plans;
mod deletes;
mod faults;
mod drift;
mod keys;
mod answers;
mod failures;
mod controllers;
mod fencing;
mod restarts;
mod requests;
mod pressure;
mod idle;
mod rewrites;
mod people;
mod tls;
mod tokens;
mod rights;
mod listing;
mod readers;
