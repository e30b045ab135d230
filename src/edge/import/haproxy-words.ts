/** Words of haproxy.cfg that become no setting: those that mean nothing here, and those that are done in another way. */

/** Directives that are about HAProxy itself, or that we do anyway. */
export const ownWays = new Set(
  (
    'log user group daemon chroot pidfile stats nbthread nbproc cpu-map master-worker mworker-max-reloads ulimit-n node description ' +
    'default_backend use_backend bind mode server server-template default-server balance timeout retries maxconn acl tcp-request ' +
    'http-check tcp-check ssl-default-bind-ciphers ssl-default-bind-options ssl-default-bind-ciphersuites ca-base crt-base tune.ssl.default-dh-param ' +
    'errorfile hard-stop-after log-tag load-server-state-from-file server-state-file server-state-base'
  ).split(' '),
);
/** Options of `option X` that are so here anyway, or that are for HTTP mode's log. */
export const ownOptions = new Set(
  'tcplog httplog dontlognull dontlog-normal redispatch tcpka clitcpka srvtcpka splice-auto splice-request splice-response log-health-checks logasap http-server-close forwardfor httpclose http-keep-alive abortonclose httpchk ssl-hello-chk tcp-check tcp-smart-accept tcp-smart-connect contstats'.split(
    ' ',
  ),
);
/** What somebody may miss, by one word or two, and what there is instead. */
export const otherWays: ReadonlyMap<string, string> = new Map([
  [
    'stats socket',
    '`v6edge member`, `sessions` and `status` do what is done there, and the admin API does: /run/v6edge/admin.sock',
  ],
  ['stats enable', 'the dashboard is GET / of the admin API, on [::1]:8653 unless admin.listen says otherwise'],
  ['log-format', 'the session log has fields of its own, as JSON or readable'],
  ['unique-id-format', 'sessions have an id of our own form, in the log and in PROXY headers'],
  ['email-alert', '`hooks` tell somebody: by HTTP, or by a program that is run'],
]);
