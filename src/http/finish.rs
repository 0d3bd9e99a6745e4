//! What a request began is finished, whether or not its client waits for the answer.
//!
//! A change has two halves: the commit, and what follows from it (caches that forget, devices that
//! are told or cut off, queues that are dropped). When a connection breaks, its handler is dropped
//! wherever it stands; the commit would stand alone then, and a device that was revoked would keep
//! its connection. So requests that may change something run in tasks of their own. A client that
//! goes away before its body is there still ends its request: the body does.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::rt;

use super::problem::Refusal;

/// Runs everything but what only reads to its end.
pub(super) async fn finished<B: MessageBody + 'static>(
    req: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    if req.method().is_safe() {
        return next.call(req).await;
    }
    // What a panic said is not repeated.
    rt::spawn(next.call(req)).await.map_err(|_| Refusal::internal("a handler broke"))?
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::task::{Context, Waker};

    use actix_web::dev::Service as _;
    use actix_web::http::{Method, StatusCode};
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, init_service};
    use actix_web::{App, HttpResponse, web};

    use super::*;

    /// Whether the handler gets to its end although its client goes away in the midst of it.
    async fn is_finished(method: Method) -> bool {
        let done = Rc::new(Cell::new(false));
        let set = done.clone();
        let act = move || {
            let set = set.clone();
            async move {
                tokio::task::yield_now().await;
                set.set(true);
                HttpResponse::NoContent().finish()
            }
        };
        let app = App::new().wrap(from_fn(finished)).default_service(web::to(act));
        let service = init_service(app).await;
        let mut call = Box::pin(service.call(TestRequest::default().method(method).to_request()));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(call.as_mut().poll(&mut cx).is_pending() && !done.get());
        drop(call);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        done.get()
    }

    #[actix_web::test]
    async fn what_changes_something_is_finished_without_its_client() {
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            assert!(is_finished(method.clone()).await, "{method}");
        }
        assert!(!is_finished(Method::GET).await, "nobody waits for what is only read");
    }

    #[actix_web::test]
    async fn a_handler_that_breaks_is_the_servers_fault() {
        let broken = || async {
            assert!(Cell::new(false).get(), "on purpose");
            HttpResponse::NoContent().finish()
        };
        let app = App::new().wrap(from_fn(finished)).default_service(web::to(broken));
        let service = init_service(app).await;
        let error = service.call(TestRequest::post().to_request()).await.unwrap_err();
        assert_eq!(error.error_response().status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
