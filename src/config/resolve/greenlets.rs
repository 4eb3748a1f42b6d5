//! gevent: `gevent = N`, and uWSGI's longer way to say it, `loop = gevent` with `async = N`.

use super::Resolver;
use crate::config::resolved::GreenletOptions;
use crate::config::said::Setting;

/// How many greenlets there are where that is not said.
const USUAL: usize = 100;

impl Resolver<'_> {
    /// Whether applications run on greenlets, beside so many `threads`. The outer `None`: something is wrong with it.
    pub(super) fn greenlets(&mut self, threads: Option<usize>) -> Option<Option<GreenletOptions>> {
        let most = self.said_count("gevent");
        let with_loop = self.said_count("async");
        let monkey_patch = self.flag("gevent-monkey-patch");
        let wait_for_hub = self.flag("gevent-wait-for-hub");
        let (most, with_loop) = (most?, with_loop?);
        let said = self.options.last("gevent");
        let of_loop = self.text("loop").filter(|setting| setting.value == "gevent");
        let Some(setting) = said.or(of_loop) else {
            self.remark_on_missing_gevent();
            return Some(None);
        };
        if threads.is_some_and(|threads| threads > 1) {
            self.refuse_threads(setting);
            return None;
        }
        let most = most.or(with_loop.filter(|most| *most > 0));
        if most.is_none() {
            let reason = format!("how many greenlets is not said: {USUAL}; gevent = N says it");
            self.problems.warn_about(setting, reason);
        }
        Some(Some(GreenletOptions {
            most: most.unwrap_or(USUAL),
            monkey_patch,
            wait_for_hub,
        }))
    }

    fn refuse_threads(&mut self, setting: &Setting) {
        let Some(threads) = self.options.last("threads") else {
            return;
        };
        let reason = format!(
            "greenlets run on one thread of each worker, and there is also {} = {} ({}): keep one of the two",
            threads.name, threads.value, threads.origin
        );
        self.problems.error(&setting.origin, &setting.name, reason);
    }

    fn remark_on_missing_gevent(&mut self) {
        for name in ["async", "gevent-monkey-patch", "gevent-wait-for-hub"] {
            if let Some(setting) = self.options.last(name) {
                let reason = "ignored, it is about greenlets: gevent = N runs the application on them";
                self.problems.warn_about(setting, reason);
            }
        }
    }
}
