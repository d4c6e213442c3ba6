// A whole story with unmodified wechatpay-axios-plugin; told as JSON on standard output.
// Input: the merchant's keys, the control interface's URL, and, to be read, a callback.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import plugin from 'wechatpay-axios-plugin';

const { Wechatpay, Aes, Formatter, Rsa } = plugin;
const { keys, control, notify_url, number, today, callback } = JSON.parse(readFileSync(0, 'utf8'));

function read({ headers, body }) {
  const signed = Formatter.response(headers['Wechatpay-Timestamp'], headers['Wechatpay-Nonce'], body);
  const publicKey = Rsa.from(keys.public_key_pem, Rsa.KEY_TYPE_PUBLIC);
  const believed = Rsa.verify(signed, headers['Wechatpay-Signature'], publicKey);
  const { nonce, ciphertext, associated_data } = JSON.parse(body).resource;
  const plain = Aes.AesGcm.decrypt(ciphertext, keys.apiv3_key, nonce, associated_data);
  return { believed, resource: JSON.parse(plain) };
}

async function story() {
  const wxpay = new Wechatpay({
    mchid: keys.mchid,
    serial: keys.serial_no,
    privateKey: keys.private_key_pem,
    certs: { [keys.public_key_id]: keys.public_key_pem },
    headers: { 'Wechatpay-Serial': keys.public_key_id },
  });
  const { transactions } = wxpay.v3.pay;
  const amount = { total: 1000, currency: 'CNY' };
  const order = {
    appid: keys.appid, mchid: keys.mchid, description: '外卖 "}{"', notify_url, amount,
  };
  const params = { mchid: keys.mchid };
  const unwanted = `${number}-x`;
  await transactions.native.post({ ...order, out_trade_no: unwanted });
  const { status: closed } = await transactions.outTradeNo.$out_trade_no$.close
    .post(params, { out_trade_no: unwanted });

  const { data: { h5_url } } = await transactions.h5.post({
    ...order,
    out_trade_no: number,
    scene_info: { payer_client_ip: '203.0.113.7', h5_info: { type: 'Wap' } },
  });
  await fetch(`${control}/control/pay`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ h5_url }),
  });
  const { data: paid } = await transactions.outTradeNo.$out_trade_no$
    .get({ params, out_trade_no: number });

  const { refunds } = wxpay.v3.refund.domestic;
  const out_refund_no = `r-${number}`;
  await refunds.post({
    out_trade_no: number, out_refund_no, amount: { refund: 250, ...amount },
  });
  let refund = { status: 'PROCESSING' };
  for (let tries = 0; refund.status === 'PROCESSING' && tries < 100; tries += 1) {
    await sleep(50);
    ({ data: refund } = await refunds.$out_refund_no$.get({ out_refund_no }));
  }

  const { data: bill } = await wxpay.v3.bill.tradebill
    .get({ params: { bill_date: today, bill_type: 'ALL', tar_type: 'GZIP' } });
  const { data: file } = await wxpay.v3.billdownload.file.get({
    params: { token: new URL(bill.download_url).searchParams.get('token') },
    responseType: 'arraybuffer',
    transformResponse: [],
  });
  const content = gunzipSync(file);
  const hashed = createHash('sha1').update(content).digest('hex') === bill.hash_value;
  return { closed, paid, refund, hashed, lines: content.toString().trim().split('\r\n').length };
}

console.log(JSON.stringify(callback ? read(callback) : await story()));
