// Drives the official alipay-sdk through one story; a test gives it keys and reads what it printed.
import { readFileSync } from 'node:fs';
import { AlipaySdk } from 'alipay-sdk';
import { ProxyAgent } from 'urllib';

const { keys, proxy, ca, control, notify_url, subject, notices } = JSON.parse(readFileSync(0, 'utf8'));
const sdk = new AlipaySdk({
  appId: keys.app_id,
  privateKey: keys.private_key_pem,
  keyType: 'PKCS8',
  alipayPublicKey: keys.alipay_public_key_pem,
  proxyAgent: new ProxyAgent({ uri: proxy, requestTls: { ca: readFileSync(ca) } }),
});

const out_trade_no = `node${keys.seller_id}`;
const name = { out_trade_no };
const ask = (method, bizContent) =>
  sdk.exec(method, { notify_url, bizContent }, { validateSign: true });

if (notices) {
  console.log(JSON.stringify(notices.map((notice) => sdk.checkNotifySignV2(notice))));
} else {
  const created = await ask('alipay.trade.create', {
    ...name, subject, total_amount: '12.50', buyer_id: '2088000000000001',
  });
  await fetch(`${control}/control/alipay/pay`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ seller_id: keys.seller_id, ...name }),
  });
  const found = await ask('alipay.trade.query', name);
  const refunded = await ask('alipay.trade.refund', {
    ...name, refund_amount: '2.50', out_request_no: 'r1',
  });
  const closed = await ask('alipay.trade.close', name);
  const page = sdk.pageExecute('alipay.trade.wap.pay', 'GET', {
    bizContent: { ...name, out_trade_no: `${out_trade_no}w`, subject, total_amount: '1.00' },
  });
  console.log(JSON.stringify({ created, found, refunded, closed, page }));
}
