//! Options of uWSGI that uwrs knows by name only, so that a typing error can be told from an option it lacks.

use crate::config::definition::Arity;

/// How many values this option of uWSGI takes; `None` if uWSGI has no such option, or uwrs defines it.
pub(super) fn arity(name: &str) -> Option<Arity> {
    let has = |names: &str| names.split_ascii_whitespace().any(|known| known == name);
    if has(WITH_VALUE) {
        return Some(Arity::Required);
    }
    has(WITHOUT_VALUE).then_some(Arity::Optional)
}

const WITHOUT_VALUE: &str = "\
    alarm-list alarms-list cache-no-expire cache-report-freed-items cache-use-last-modified \
    carbon-name-resolve carbon-no-workers carbon-resolve-names carbon-use-metrics cflags \
    cgi-async-max-attempts cgi-close-stdin-on-eof cgi-do-not-kill-on-error cgi-dontresolve \
    cgi-from-docroot cgi-optimize cgi-optimized cgi-path-info cheaper-algo-list cheaper-algos-list \
    cheaper-list check-cache check-static-docroot clock-list clocks-list command-mode config-py \
    daemons-honour-stdin disable-async-warn-on-queue-full disable-sendfile dot-h drop-after-apps \
    drop-after-init dynamic-apps early-emperor early-php early-python emperor-graceful-shutdown \
    emperor-magic-exec emperor-no-blacklist emperor-subreaper emperor-tyrant-initgroups \
    emperor-tyrant-nofollow emperor-wait-for-command end-blacklist end-whitelist fastrouter-cheap \
    fastrouter-fallback-on-no-key fastrouter-use-cache fastrouter-use-socket fiber force-gateway \
    forkptyrouter-cheap geoip-use-disk greenlet gridfs-debug honour-range \
    http-backend-http http-cheap http-use-cache http-use-socket https-export-cert imperial-monitor-list \
    imperial-monitors-list ldap-schema ldap-schema-ldif log-format-strftime log-master-req-stream \
    log-master-stream log-prefix logger-list loggers-list loop-list loops-list lua-gc-freq lua-gc-full \
    lua-shell lua-shell-oneshot luashell luashell-oneshot master-as-root metric-dir-restore \
    metrics-dir-restore metrics-no-cores mule-msg-size nagios no-fd-passing no-harakiri-after-req-hook \
    no-harakiri-arh no-initgroups no-server no-site no-threads-wait notfound-log pcre-jit \
    perl-no-die-catch perl-no-plack perl-version persistent-ipcsem php-dump-config plshell \
    plshell-oneshot plugin-list plugins-list propagate-touch psgi-enable-psgix-io pty-input pty-log \
    pty-no-isig py-master-check-signals pyshell-oneshot python-version rawrouter-cheap \
    rawrouter-use-cache rawrouter-use-socket rawrouter-xclient rb-thread rb-threads rbshell \
    rbshell-oneshot rbthread rbthreads re-fork re-fork-as-root re-fork-post-jail refork refork-as-root \
    refork-post-jail router-list routers-list rsyslog-split-messages shutdown-sockets \
    skip-atexit-teardown skip-zero snmp spooler-cheap spooler-ordered spooler-signal-as-task \
    ssl-enable-sslv3 ssl-enable-tlsv1 ssl-enable3 ssl-option ssl-session-use-cache \
    ssl-sessions-use-cache ssl-verbose ssl-verify-depth sslrouter-cheap sslrouter-sni \
    sslrouter-use-cache sslrouter-use-socket stackless start-unsubscribed start_response-nodelay \
    stats-min stats-minified stats-no-cores stats-no-metrics statsd-all-gauges statsd-no-workers \
    subscription-clear-on-shutdown subscription-vassal-required symcall-use-next tcp-fast-open-client \
    tcp-fastopen-client threaded-logger thunder-lock-watchdog tuntap-use-credentials ugreen use-abort \
    vhost-host wsgi-accept-buffer wsgi-accept-buffers wsgi-manage-chunked-input wsgi-strict \
    zabbix-template zerg-fallback";

const WITH_VALUE: &str = "\
    add-cache-item after-request-call after-request-hook alarm-cheap alarm-fd alarm-lq alarm-metric \
    alarm-msg-size allowed-modifiers attach-control-daemon auto-weight backlog-alarm backtrace-depth \
    binary-append-data binsh blacklist brutal-reload-on-fd build-plugin cache \
    cache-blocksize cache-expire-freq cache-store cache-store-sync cache-sync cache-udp-node \
    cache-udp-server call-as-emperor call-as-emperor1 call-as-emperor2 call-as-emperor4 call-as-root \
    call-as-user call-as-user-atexit call-as-vassal call-as-vassal1 call-as-vassal3 call-asap \
    call-in-jail call-post-app call-post-jail call-pre-app call-pre-jail carbon carbon-freq \
    carbon-hostname-dots carbon-id carbon-idle-avg carbon-max-retry carbon-retry-delay carbon-root \
    carbon-timeout cgi cgi-allowed-ext cgi-buffer-size cgi-helper cgi-index cgi-loadlib cgi-map-helper \
    cgi-safe cgi-timeout cgi-unset cgroup-opt check-interval check-mount check-mountpoint clock \
    clojure-load collect-header connect-and-read coroae \
    cron-curl cron-curl-legion cron-harakiri cron-legion curl-cron curl-cron-legion del-header dlopen \
    dumbloop-code dumbloop-function dumbloop-modifier1 early-perl early-perl-exec early-php-sapi-name \
    early-psgi early-pyimport early-python-import early-python-path early-pythonpath emperor-broodlord \
    emperor-cap emperor-chdir-attr emperor-collect-attr emperor-collect-attribute emperor-command-socket \
    emperor-curse-tolerance emperor-extra-ext emperor-extra-extension emperor-fork-server-attr \
    emperor-freq emperor-max-throttle emperor-on-demand-dir emperor-on-demand-exec emperor-on-demand-ext \
    emperor-pidfile emperor-procname emperor-proxy-socket emperor-required-heartbeat emperor-throttle \
    emperor-trigger-socket emperor-use-fork-server emperor-wait-for-command-ignore emperor-wrapper \
    emperor-wrapper-attr emperor-wrapper-fallback error-route error-route-host error-route-if \
    error-route-if-not error-route-label error-route-qs error-route-referer error-route-remote-addr \
    error-route-remote-user error-route-run error-route-status error-route-uri error-route-user-agent \
    exception-handler exec-as-emperor exec-as-root exec-as-user exec-as-user-atexit \
    exec-as-vassal exec-asap exec-in-jail exec-post-app exec-post-jail exec-pre-jail extract \
    fastcgi-modifier1 fastcgi-modifier2 fastcgi-nph-socket fastrouter fastrouter-buffer-size \
    fastrouter-defer-connect-timeout fastrouter-emperor-socket fastrouter-events fastrouter-fallback \
    fastrouter-force-key fastrouter-gid fastrouter-gracetime fastrouter-harakiri fastrouter-max-retries \
    fastrouter-post-buffering fastrouter-post-buffering-dir fastrouter-processes fastrouter-quiet \
    fastrouter-resubscribe fastrouter-resubscribe-bind fastrouter-ss fastrouter-stats \
    fastrouter-stats-server fastrouter-subscription-fallback-key fastrouter-subscription-server \
    fastrouter-subscription-slot fastrouter-timeout fastrouter-to fastrouter-uid fastrouter-use-base \
    fastrouter-use-code-string fastrouter-use-pattern fastrouter-workers fastrouter-zerg fd-safe \
    file-write fileserve-mode final-route final-route-host final-route-if final-route-if-not \
    final-route-label final-route-qs final-route-referer final-route-remote-addr final-route-remote-user \
    final-route-run final-route-status final-route-uri final-route-user-agent flock flock-wait \
    flock-wait2 flock2 force-cwd fork-server fork-socket forkbomb-delay forkpty-router \
    forkpty-router-cmd forkpty-router-command forkpty-urouter forkptyrouter forkptyrouter-cmd \
    forkptyrouter-cols forkptyrouter-command forkptyrouter-events forkptyrouter-fallback \
    forkptyrouter-harakiri forkptyrouter-processes forkptyrouter-rows forkptyrouter-ss \
    forkptyrouter-stats forkptyrouter-stats-server forkptyrouter-timeout forkptyrouter-workers \
    forkptyrouter-zerg forkptyurouter fs-brutal-reload fs-reload fs-signal ftok gccgo-args gccgo-load \
    gemset geoip-city geoip-country glusterfs-mount glusterfs-timeout go-args go-load goroutines \
    gridfs-mount heartbeat hook-accepting hook-accepting-once hook-accepting1-once hook-as-emperor \
    hook-as-emperor-before-vassal hook-as-emperor-setns hook-as-mule hook-as-on-config-vassal \
    hook-as-on-demand-vassal hook-as-user-atexit hook-as-vassal hook-as-vassal-before-drop \
    hook-emperor-start hook-in-jail hook-post-jail hook-touch http-buffer-size http-fallback http-gid \
    http-gracetime http-harakiri http-modifier1 http-modifier2 http-path-info-no-decode-slashes \
    http-post-buffering http-post-buffering-dir http-quiet http-resubscribe http-socket-modifier1 \
    http-socket-modifier2 http-ss http-stud-prefix http-subscription-fallback-key http-uid http-use-base \
    http-use-code-string http-use-pattern http-var http-zerg https-session-context \
    https-socket-modifier1 https-socket-modifier2 https2 ini-paste ini-paste-logged inject-after \
    inject-before jail jail-attach jail-ip4 jail-ip6 jail2 jid-file jidfile jvm-class jvm-classpath \
    jvm-main-class jvm-opt jwsgi ldap legion-attach-daemon legion-cron legion-cron-curl legion-curl-cron \
    legion-death legion-death-on-lord-error legion-freq legion-join legion-lord legion-mcast \
    legion-node-joined legion-node-left legion-quorum legion-scroll legion-scroll-list-max-size \
    legion-scroll-max-size legion-setup legion-skew-tolerance legion-smart-attach-daemon \
    legion-smart-attach-daemon2 legion-tolerance legion-unlord libjail limit-nproc listen-queue-alarm \
    load-file-in-cache load-file-in-cache-gzip lock-engine log-drain log-filter log-master-bufsize \
    log-req-route log-socket log-zeromq lq-alarm lua lua-load lua-postfork-mule lua-postfork-spooler \
    lua-postfork-worker lua-postload map-socket mem-collector-freq metric-alarm metric-dir \
    metric-threshold metrics-dir mime-file mongrel2 mono-app mono-assembly mono-config mono-exec \
    mono-gc-freq mono-index mono-key mono-version mount-as-emperor mount-as-root mount-as-vassal \
    mount-asap mount-check mount-in-jail mount-post-jail mount-pre-jail mountpoint-check mule-harakiri \
    mule-msg-recv-size multicast multicast-loop multicast-ttl namespace namespace-keep-mount \
    namespace-net not-alarm-log not-log-alarm ns ns-net offload-thread pam pam-user paste-name pecan \
    perl-arg perl-args perl-auto-reload perl-auto-reload-ignore perl-exec perl-exec-post-fork \
    perl-local-lib php-allowed-docroot php-allowed-ext php-allowed-script php-app php-app-bypass \
    php-app-qs php-config php-config-append php-constant php-docroot php-exec-after php-exec-before \
    php-exec-begin php-exec-end php-fallback php-fallback-qs php-fallback2 php-index php-ini \
    php-ini-append php-mount php-sapi-name php-server-software php-set php-var ping ping-timeout \
    post-pymodule-alias print-sym print-symbol prio privileged-binary-patch privileged-binary-patch-arg \
    profiler psgi pty-connect pty-exec pty-socket pty-uconnect pull-header pump puwsgi-socket \
    py-auto-reload-ignore py-program-name py-programname py-sharedarea pymodule-alias pypy-eval \
    pypy-eval-post-fork pypy-exec pypy-exec-post-fork pypy-home pypy-ini-paste pypy-lib pypy-paste \
    pypy-pp pypy-python-path pypy-pythonpath pypy-setup pypy-wsgi pypy-wsgi-file python-raw \
    python-worker-override queue-blocksize queue-store queue-store-sync rack rados-mount rados-timeout \
    rails raw-modifier1 raw-modifier2 raw-socket rawrouter rawrouter-buffer-size rawrouter-events \
    rawrouter-fallback rawrouter-gracetime rawrouter-harakiri rawrouter-max-retries rawrouter-processes \
    rawrouter-quiet rawrouter-ss rawrouter-stats rawrouter-stats-server rawrouter-subscription-server \
    rawrouter-subscription-slot rawrouter-timeout rawrouter-to rawrouter-use-base \
    rawrouter-use-code-string rawrouter-use-pattern rawrouter-workers rawrouter-zerg rb-gc-freq rb-lib \
    rb-require rbrequire rbtimer reload-on-exception-repr reload-on-exception-type \
    reload-on-exception-value reload-on-fd reload-on-pss reload-on-uss rem-header remap-modifier require \
    resolve response-header-collect response-headers-limit response-route response-route-host \
    response-route-if response-route-if-not response-route-label response-route-qs \
    response-route-referer response-route-remote-addr response-route-remote-user response-route-run \
    response-route-status response-route-uri response-route-user-agent ring-app ring-load route-if-not \
    route-qs route-referer route-remote-addr route-remote-user rpc-max rrdtool rrdtool-freq rrdtool-lib \
    rsyslog-packet-size ruby-gc-freq ruby-lib ruby-require rubyrequire rvm rvm-path safe-fd \
    scgi-modifier1 scgi-modifier2 scgi-nph-socket segfault-alarm setns setns-skip setns-socket-skip \
    shared-rb-require shared-rbrequire shared-require shared-ruby-require shared-rubyrequire signal \
    signal-bufsize signal-rbtimer signal-timer signals-bufsize sni sni-dir sni-regexp snmp-community \
    socket-rcvbuf socket-sndbuf spooler-external spooler-max-tasks sqlite sqlite3 ssl-session-timeout \
    ssl-sessions-timeout sslrouter sslrouter-buffer-size sslrouter-events sslrouter-fallback \
    sslrouter-gracetime sslrouter-harakiri sslrouter-max-retries sslrouter-processes sslrouter-quiet \
    sslrouter-session-context sslrouter-ss sslrouter-stats sslrouter-stats-server \
    sslrouter-subscription-server sslrouter-timeout sslrouter-to sslrouter-use-base \
    sslrouter-use-code-string sslrouter-use-pattern sslrouter-workers sslrouter-zerg sslrouter2 st \
    static-expires-mtime static-expires-path-info static-expires-path-info-mtime static-expires-type \
    static-expires-uri static-expires-uri-mtime static-gzip static-gzip-ext static-gzip-prefix \
    static-gzip-suffix static-skip-ext stats-pusher-default-freq stats-pushers-default-freq subscribe \
    subscribe-freq subscribe-with-modifier1 subscribe2 subscription-algo subscription-mountpoint \
    subscription-mountpoints subscription-tolerance-inactive subscriptions-credentials-check \
    subscriptions-sign-check-tolerance symcall symcall-post-fork symcall-register-rpc tcp-fast-open \
    tcp-fastopen timer touch-exec touch-mules-reload touch-signal touch-spoolers-reload tuntap-device \
    tuntap-device-rule tuntap-router tuntap-router-firewall-in tuntap-router-firewall-out \
    tuntap-router-route tuntap-router-stats udp ugreen-stacksize umount-as-emperor umount-as-root \
    umount-as-vassal umount-asap umount-in-jail umount-post-jail umount-pre-jail \
    undeferred-shared-socket unique-cron-legion unique-legion-cron unprivileged-binary-patch \
    unprivileged-binary-patch-arg unshare unshare2 upload-progress v8-gc-freq v8-jsgi v8-load \
    v8-module-path v8-preemptive vassal-cap vassal-fork-base vassal-sos vassal-sos-backlog vassals-cap \
    vassals-include-before vassals-inherit vassals-inherit-before vassals-start-hook vassals-stop-hook \
    wait-for-dir wait-for-file wait-for-fs wait-for-fs-timeout wait-for-iface wait-for-iface-timeout \
    wait-for-interface wait-for-interface-timeout wait-for-mountpoint wait-for-socket \
    wait-for-socket-timeout wait-iface wait-iface-timeout wait-interface wait-interface-timeout web3 \
    webdav-add-collection-prop webdav-add-collection-prop-comp webdav-add-collection-prop-href \
    webdav-add-object-prop webdav-add-object-prop-comp webdav-add-object-prop-href webdav-add-option \
    webdav-add-prop webdav-add-prop-comp webdav-add-prop-href webdav-add-rtype-collection-prop \
    webdav-add-rtype-object-prop webdav-add-rtype-prop webdav-class-directory webdav-css webdav-div \
    webdav-javascript webdav-js webdav-lock-cache webdav-mount webdav-principal-base webdav-skip-prop \
    \
    weight whitelist worker-exec worker-exec2 \
    worker-log-encoder worker-log-req-encoder worker-logger worker-logger-req worker-mount wsgi-lite \
    xslt-content-type xslt-docroot xslt-ext xslt-stylesheet xslt-var zerg zerg-pool zerg-server zergpool \
    zeromq zeromq-socket zeus zmq zmq-socket";
