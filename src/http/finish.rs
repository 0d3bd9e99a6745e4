//! What a request began is finished, whether or not its client waits for the answer.
//!
//! A change has two halves: the commit, and what follows from it (caches that forget, devices that
//! are told or cut off, queues that are dropped). When a connection breaks, its handler is dropped
//! wherever it stands; the commit would stand alone then, and a device that was revoked would keep
//! its connection. So what is left of a request that may change something becomes a task of its
//! own. A client that goes away before its body is there still ends its request: the body breaks.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::rt;

/// Runs everything but what only reads to its end.
pub(super) async fn finished<B: MessageBody + 'static>(
    req: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let is_safe = req.method().is_safe();
    let act = next.call(req);
    if is_safe { act.await } else { Finishing(Some(act)).await }
}

/// An act; dropped before its end, it goes on by itself.
struct Finishing<T: 'static>(Option<Pin<Box<dyn Future<Output = T>>>>);

impl<T> Future for Finishing<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // Out of its place while it is polled: one that panics does not go on.
        let Some(mut act) = self.0.take() else { return Poll::Pending };
        let polled = act.as_mut().poll(cx);
        if polled.is_pending() {
            self.0 = Some(act);
        }
        polled
    }
}

impl<T> Drop for Finishing<T> {
    fn drop(&mut self) {
        if let Some(act) = self.0.take() {
            rt::spawn(act);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;
    use std::task::Waker;

    use actix_web::dev::Service as _;
    use actix_web::http::Method;
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
    async fn one_that_broke_does_not_go_on() {
        let broken = Box::pin(async { assert!(Cell::new(false).get(), "on purpose") });
        let mut act = Finishing(Some(broken));
        let mut cx = Context::from_waker(Waker::noop());
        let polled = AssertUnwindSafe(|| Pin::new(&mut act).poll(&mut cx).is_ready());
        assert!(catch_unwind(polled).is_err());
        assert!(act.0.is_none());
    }

    #[test]
    fn a_thread_that_ends_ends_what_is_left_too() {
        let runtime = rt::Runtime::new().unwrap();
        let kept = Rc::new(());
        let mine = kept.clone();
        let act = async move {
            let _mine = mine;
            std::future::pending::<()>().await;
        };
        runtime.spawn(Finishing(Some(Box::pin(act))));
        runtime.block_on(tokio::task::yield_now());
        assert_eq!(Rc::strong_count(&kept), 2, "under way");
        drop(runtime);
        assert_eq!(Rc::strong_count(&kept), 1, "dropped, and nothing broke");
    }
}
