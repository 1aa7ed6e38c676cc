//! Problems as JSON-RPC error objects.
//!
//! Decides the numbers: -32000 for every problem of ours, with the whole problem as `data`;
//! programs go by its name, which never changes its meaning. Those that JSON-RPC has numbers for
//! keep them.

use jsonrpsee::types::ErrorObjectOwned;
use jsonrpsee::types::error::{INTERNAL_ERROR_CODE, INVALID_PARAMS_CODE, METHOD_NOT_FOUND_CODE};
use parsec_protocol::control::{Problem, ProblemKind};

/// The number of every problem without one of its own.
pub const PROBLEM_CODE: i32 = -32_000;

/// The error object of a problem.
#[must_use]
pub fn object(problem: &Problem) -> ErrorObjectOwned {
    let code = if problem.name == ProblemKind::InvalidRequest {
        INVALID_PARAMS_CODE
    } else if problem.name == ProblemKind::UnknownMethod {
        METHOD_NOT_FOUND_CODE
    } else if problem.name == ProblemKind::Internal {
        INTERNAL_ERROR_CODE
    } else {
        PROBLEM_CODE
    };
    ErrorObjectOwned::owned(code, problem.message.clone(), Some(problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_travels_whole() {
        for kind in ProblemKind::ALL {
            let problem = Problem::new(*kind, "it happened");
            let object = object(&problem);
            let back: Problem = serde_json::from_str(object.data().unwrap().get()).unwrap();
            assert_eq!(back, problem);
            assert!((-32_768..=-32_000).contains(&object.code()), "{}", kind.name());
        }
    }
}
