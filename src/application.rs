//! From the configuration to the interpreter that runs the application: the one place that names a language.

use uwrs_api::{LoadError, Runtime};
use uwrs_python::{
    AppSpec, AppTarget, DeflateSettings, Greenlets, Interface, LifespanChoice, LoopChoice, Settings,
    WebSocketSettings,
};

use crate::config::{
    ApplicationConfig, CompressionOption, Config, InterfaceOption, LifespanOption, LoopOption,
};
use crate::sys::{Pid, TRACEBACK_SIGNAL};

/// Starts the interpreter in this process. The working directory is `chdir` already.
///
/// # Errors
/// The interpreter can't start in `home`.
pub fn start_runtime(config: &Config, master: Option<Pid>) -> Result<Box<dyn Runtime>, LoadError> {
    let application = &config.application;
    uwrs_python::start(Settings {
        home: application.home.clone(),
        pythonpath: application.pythonpath.clone(),
        argv: application.argv.clone(),
        imports: application.imports.clone(),
        apps: apps(application),
        callable: application.callable.clone(),
        interface: match application.interface {
            InterfaceOption::Auto => None,
            InterfaceOption::Wsgi => Some(Interface::Wsgi),
            InterfaceOption::Asgi => Some(Interface::Asgi),
            InterfaceOption::Asgi2 => Some(Interface::Asgi2),
        },
        event_loop: match application.event_loop {
            LoopOption::Auto => LoopChoice::Auto,
            LoopOption::Asyncio => LoopChoice::Asyncio,
            LoopOption::Uvloop => LoopChoice::Uvloop,
        },
        lifespan: match application.lifespan {
            LifespanOption::Auto => LifespanChoice::Auto,
            LifespanOption::On => LifespanChoice::On,
            LifespanOption::Off => LifespanChoice::Off,
        },
        websockets: WebSocketSettings {
            message_bytes: application.websockets.message_bytes,
            ping_interval: application.websockets.ping_interval,
            ping_timeout: application.websockets.ping_timeout,
            deflate: deflate(application.websockets.compression),
            ..WebSocketSettings::default()
        },
        manage_script_name: application.manage_script_name,
        disable_file_wrapper: application.disable_file_wrapper,
        disable_write_exception: application.disable_write_exception,
        multiprocess: config.processes.workers > 1,
        greenlets: application.greenlets.as_ref().map(|greenlets| Greenlets {
            most: greenlets.most,
            monkey_patch: greenlets.monkey_patch,
            wait_for_hub: greenlets.wait_for_hub,
        }),
        multithread: application.side_by_side() > 1,
        chdir2: application.chdir2.clone(),
        workers: config.processes.workers,
        master,
        set_deadline: Some(crate::worker::set_deadline),
        traceback_signal: master.map(|_| TRACEBACK_SIGNAL as i32),
        options: config.said.clone(),
    })
}

/// How messages of WebSockets are compressed; `None`: they are not.
fn deflate(option: CompressionOption) -> Option<DeflateSettings> {
    let takeover = match option {
        CompressionOption::Takeover => true,
        CompressionOption::Each => false,
        CompressionOption::Off => return None,
    };
    Some(DeflateSettings {
        server_takeover: takeover,
        client_takeover: takeover,
        ..DeflateSettings::default()
    })
}

/// The applications that were asked for: the default one first, then those with a mountpoint.
fn apps(config: &ApplicationConfig) -> Vec<AppSpec> {
    let module = config.module.clone().map(AppTarget::Module);
    let file = config.wsgi_file.clone().map(|path| AppTarget::File(path, None));
    let default = module.or(file).map(|target| AppSpec {
        mountpoint: String::new(),
        target,
    });
    let mounted = config.mounts.iter().map(|mount| AppSpec {
        mountpoint: mount.point.clone(),
        target: target_of_mount(&mount.target),
    });
    default.into_iter().chain(mounted).collect()
}

/// A mount's target is a file when it looks like one: `app.py`, `/srv/app.wsgi`, either with `:callable`.
fn target_of_mount(target: &str) -> AppTarget {
    let (path, callable) = match target.rsplit_once(':') {
        Some((path, callable)) => (path, Some(callable.to_owned())),
        None => (target, None),
    };
    if path.contains('/') || path.ends_with(".py") || path.ends_with(".wsgi") {
        AppTarget::File(path.into(), callable)
    } else {
        AppTarget::Module(target.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_names_a_file_or_a_module() {
        let file =
            |path: &str, callable: Option<&str>| AppTarget::File(path.into(), callable.map(str::to_owned));
        for (said, meant) in [
            ("app.py", file("app.py", None)),
            ("/srv/site.wsgi:app", file("/srv/site.wsgi", Some("app"))),
            ("pkg.mod:app", AppTarget::Module("pkg.mod:app".into())),
            ("pkg.mod", AppTarget::Module("pkg.mod".into())),
        ] {
            assert_eq!(target_of_mount(said), meant, "{said}");
        }
    }
}
