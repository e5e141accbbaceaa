//! PostgreSQL
use crate::*;
use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};
pub struct Postgres;
impl Protocol for Postgres {
    fn name(&self) -> &'static str {
        "pg"
    }
    fn default_port(&self) -> u16 {
        5432
    }
    fn destination(&self, _credential: &Credential) -> Result<Destination, Error> {
        unimplemented!()
    }
    fn check(&self, _credential: &Credential) -> Vec<String> {
        unimplemented!()
    }
    fn handshake(&self, _route: Arc<Route>) -> Box<dyn Handshake> {
        unimplemented!()
    }
}
