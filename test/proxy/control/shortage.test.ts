import t from 'tap';
import { shortageWords } from '../../../src/proxy/control/shortage.ts';

t.test('what is missing, and what to do', async (t) => {
  const table = [
    { code: 'EADDRNOTAVAIL', address: 'fd00::11', says: /to \[fd00::11\]:80 .*ip_local_port_range/ },
    { code: 'EADDRNOTAVAIL', address: 'fe80::1%eth1', says: /`ss -tan dst \[fe80::1%eth1\]:80`/ },
    { code: 'EAGAIN', address: '192.0.2.1', says: /to 192\.0\.2\.1:80 \(EAGAIN\)/ },
    { code: 'ENOBUFS', address: '192.0.2.1', says: /no memory .*tcp_mem/ },
    { code: 'ENOSPC', address: '192.0.2.1', says: /max_user_watches/ },
  ];
  for (const { code, address, says } of table) t.match(shortageWords(code, address, 80), says);
});
