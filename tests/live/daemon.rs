//! The program itself, kept by a real Consul: what a person, a consumer and an operator see of it, faults included.

mod site;
mod service;
mod killer;
mod rollouts;
mod catalog;
mod plans;
mod deletes;
mod faults;
mod controllers;
mod fencing;
mod restarts;
mod pressure;
mod idle;
mod rewrites;
mod people;
mod tls;
mod tokens;
mod rights;
mod listing;
mod readers;
