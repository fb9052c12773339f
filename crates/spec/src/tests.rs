//! Tests that look inside: the table against reader, schema and page, and files made to hurt.

mod agree;
mod databases;
mod fuzz;
mod generate;
mod hostile;
mod messages;
mod pages;
mod regions;
mod users;
mod values;
mod whole;
