"""x"""
import sys, time, math, json
from pathlib import Path
from collections import defaultdict
import numpy as np
from benchmarks.mdrp_days import *
from domain.planning.model import Job, Rider, Rules
from domain.planning.arrays import Prices
from domain.planning.tick import decide, Zone
from services.dispatch import kernel

HORIZON=45

def run(day, rounds=150, seed=1, prices=Prices(), opts={}):
    lives={c.courier_id: Life(c,c.place,"0",c.on_at) for c in day.couriers}
    log=Log(); byid={o.order_id:o for o in day.orders}
    arrivals=sorted(day.orders,key=lambda o:o.placed_at); nxt=0
    waiting={}; routes={}; times=[]
    rules=Rules(pickup_half=day.pickup_half,dropoff_half=day.dropoff_half,promise=day.promise,bearable=day.bearable,**{k:v for k,v in opts.items() if k in ('horizon','standby_left','standby_busy')})
    def drives(places):
        p=np.array(places); d=np.ceil(np.hypot(p[:,None,0]-p[None,:,0],p[:,None,1]-p[None,:,1])/day.metres_per_minute)
        return d.ravel()
    zone=Zone(day.shops,drives,rules,prices,rounds,kernel.ENGINE)
    end=max(max(o.ready_at for o in day.orders), max(c.off_at for c in day.couriers))+1
    t=min(o.placed_at for o in day.orders)
    seen={}; half=opts.get('half_life',200.)
    while t<=end:
        while nxt<len(arrivals) and arrivals[nxt].placed_at<=t:
            o=arrivals[nxt]; nxt+=1
            waiting[o.order_id]=Job(order_id=o.order_id,shop_id=o.shop_id,place=o.place,placed_at=o.placed_at,ready_at=o.ready_at)
            seen[o.shop_id]=seen.get(o.shop_id,0)+2**(t/half)
        c0=time.thread_time()
        riders=[]
        for c in day.couriers:
            l=lives[c.courier_id]
            if c.off_at<t and not l.bound_for: continue
            G=day.pay_per_hour/day.pay_per_order*(c.off_at-c.on_at)/60
            riders.append(Rider(rider_id=c.courier_id,place=l.place,free_at=l.free_at,off_at=c.off_at,bound_for=l.bound_for,standing_by=l.standby,owed=G-l.done))
        demand=None
        if t%int(opts.get('every',2))==0: demand={k:v*2**(-t/half) for k,v in seen.items()}
        if waiting or demand:
            d=decide(t,riders,list(waiting.values()),routes,zone=zone,seed=seed*7919+t,demand=demand)
            routes=d.routes
            times.append(time.thread_time()-c0)
            for who,oid in d.leave.items():
                l=lives[who]; go(day,log,l,t,byid[oid].shop_id); l.bound_for=oid
            for one in d.collect:
                l=lives[one.rider_id]; deliver(day,log,l,t,one.pickup_at,[byid[o] for o in one.order_ids])
                for o in one.order_ids: del waiting[o]
            for who,shop in d.standby.items():
                l=lives[who]
                go(day,log,l,t,shop); l.standby=True
        t+=1
    return log,times

if __name__=='__main__':
    import argparse
    sys.path.insert(0,'/work/shared/tools')
    from mdrp_check import check
    ap=argparse.ArgumentParser(); ap.add_argument('names',nargs='*'); ap.add_argument('--rounds',type=int,default=150); ap.add_argument('-p',action='append',default=[]); ap.add_argument('-o',action='append',default=[]); ap.add_argument('-q',action='store_true')
    a=ap.parse_args()
    pr=Prices(**{k:float(v) for k,v in (x.split('=') for x in a.p)}); op={k:float(v) for k,v in (x.split('=') for x in a.o)}
    root=Path('/tmp/mdrp-days'); rows=[]; T=[]
    for n in a.names or sorted(x.name for x in root.iterdir()):
        w=time.time()
        day=read_day(root/n); log,times=run(day,a.rounds,prices=pr,opts=op)
        write(log,Path('/tmp/mdrp-sol')/n)
        r=check(str(root/n),str(Path('/tmp/mdrp-sol')/n),True)
        rows.append(r); T+=times
        ts=sorted(times)
        if not a.q or r['errors']: print(f"{n:18s} {r['errors']:3d} und {r['undelivered_pct']:.3f} ctd {r['ctd']:.2f} p90 {r['ctd90']:.1f} rtp {r['rtp']:.2f} cost {r['cost_per_order']:.2f} opb {r['orders_per_bundle']:.2f} late90 {r['late90_pct']:.2f} p99 {ts[int(.99*len(ts))]*1e3:.0f}ms max {ts[-1]*1e3:.0f} wall {time.time()-w:.1f}",r['first'] if r['errors'] else '',flush=True)
    m=lambda k: sum(r[k] for r in rows)/len(rows)
    T.sort()
    print(f"MEAN {len(rows)} err {sum(r['errors'] for r in rows)} und {m('undelivered_pct'):.3f} ctd {m('ctd'):.3f} p90 {m('ctd90'):.2f} rtp {m('rtp'):.3f} cost {m('cost_per_order'):.3f} opb {m('orders_per_bundle'):.3f} p99 {T[int(.99*len(T))]*1e3:.0f}ms sum {sum(T):.0f}s", a.p,a.o,a.rounds)
