//! [`ByConnection`]: what is made once for a connection, and kept while it speaks.

use std::sync::Arc;

use pyo3::prelude::*;
use uwrs_api::ConnectionInfo;

/// The connections that spoke last, each by its place in the worker's table: those are used again, lowest first, so that
/// open connections rarely share one here. What is kept is bounded, whatever clients do.
pub(crate) struct ByConnection<T> {
    /// The connection is kept alive, so that its address names it as long as it stands here.
    places: Vec<Option<(Arc<ConnectionInfo>, T)>>,
}

impl<T> Default for ByConnection<T> {
    fn default() -> Self {
        Self { places: Vec::new() }
    }
}

impl<T> ByConnection<T> {
    const PLACES: usize = 1024;

    /// What is kept for the connection in `slot` of the worker's table; made where there is nothing.
    ///
    /// # Errors
    /// Those of `make`.
    pub(crate) fn get(
        &mut self,
        slot: u32,
        connection: &Arc<ConnectionInfo>,
        make: impl FnOnce() -> PyResult<T>,
    ) -> PyResult<&T> {
        let index = slot as usize % Self::PLACES;
        if index >= self.places.len() {
            self.places.resize_with(index + 1, || None);
        }
        let place = &mut self.places[index];
        let there = place.take().filter(|(whose, _)| Arc::ptr_eq(whose, connection));
        let there = there.map_or_else(|| Ok::<_, PyErr>((Arc::clone(connection), make()?)), Ok)?;
        Ok(&place.insert(there).1)
    }
}
