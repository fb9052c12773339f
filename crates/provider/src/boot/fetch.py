"""Fetches one object of the application's private bucket, by the right of the machine itself: fetch.py OBJECT FILE.

No key is anywhere on the machine: the provider's metadata service gives short-lived ones. EK_PROVIDER, EK_REGION,
EK_BUCKET and EK_ROLE say where and as whom. Python's standard library alone: it is on every image with cloud-init.
"""

import datetime
import hashlib
import hmac
import json
import os
import sys
import urllib.parse
import urllib.request

# What differs between AWS (Signature Version 4) and Alibaba Cloud (OSS V4), which is made after it.
AWS = {"name": "AWS4-HMAC-SHA256", "salt": "AWS4", "service": "s3", "end": "aws4_request", "lists_headers": True}
OSS = {"name": "OSS4-HMAC-SHA256", "salt": "aliyun_v4", "service": "oss", "end": "aliyun_v4_request", "lists_headers": False}


def ask(url, headers=None, method="GET"):
    request = urllib.request.Request(url, headers=headers or {}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def authorization(scheme, method, path, query, headers, payload, keys, region, moment):
    """The Authorization header: a sum over the request, by a key that is good for one day, region and service."""
    day = moment[:8]
    lines = "".join("%s:%s\n" % (name, headers[name].strip()) for name in sorted(headers))
    signed = ";".join(sorted(headers)) if scheme["lists_headers"] else ""
    request = "\n".join([method, path, query, lines, signed, payload])
    scope = "/".join([day, region, scheme["service"], scheme["end"]])
    text = "\n".join([scheme["name"], moment, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = (scheme["salt"] + keys[1]).encode()
    for step in (day, region, scheme["service"], scheme["end"]):
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    listed = "SignedHeaders=%s," % signed if scheme["lists_headers"] else ""
    return "%s Credential=%s/%s,%sSignature=%s" % (scheme["name"], keys[0], scope, listed, signature)


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")


def from_aws(bucket, region, name, role):
    meta = "http://169.254.169.254/latest/"
    token = ask(meta + "api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "300"}, "PUT").decode()
    asked = {"X-aws-ec2-metadata-token": token}
    keys = json.loads(ask(meta + "meta-data/iam/security-credentials/" + role, asked))
    host, path = "%s.s3.%s.amazonaws.com" % (bucket, region), "/" + urllib.parse.quote(name)
    headers = {
        "host": host,
        "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
        "x-amz-date": now(),
        "x-amz-security-token": keys["Token"],
    }
    pair = (keys["AccessKeyId"], keys["SecretAccessKey"])
    headers["Authorization"] = authorization(
        AWS, "GET", path, "", headers, "UNSIGNED-PAYLOAD", pair, region, headers["x-amz-date"])
    return ask("https://" + host + path, headers)


def from_alicloud(bucket, region, name, role):
    meta = "http://100.100.100.200/latest/"
    token = ask(meta + "api/token", {"X-aliyun-ecs-metadata-token-ttl-seconds": "300"}, "PUT").decode()
    asked = {"X-aliyun-ecs-metadata-token": token}
    keys = json.loads(ask(meta + "meta-data/ram/security-credentials/" + role, asked))
    headers = {
        "x-oss-content-sha256": "UNSIGNED-PAYLOAD",
        "x-oss-date": now(),
        "x-oss-security-token": keys["SecurityToken"],
    }
    path = "/" + urllib.parse.quote(name)
    pair = (keys["AccessKeyId"], keys["AccessKeySecret"])
    headers["Authorization"] = authorization(
        OSS, "GET", "/" + bucket + path, "", headers, "UNSIGNED-PAYLOAD", pair, region, headers["x-oss-date"])
    return ask("https://%s.oss-%s-internal.aliyuncs.com%s" % (bucket, region, path), headers)


def from_gcp(bucket, _region, name, _role):
    meta = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token"
    token = json.loads(ask(meta, {"Metadata-Flavor": "Google"}))["access_token"]
    path = "https://storage.googleapis.com/storage/v1/b/%s/o/%s?alt=media"
    url = path % (bucket, urllib.parse.quote(name, safe=""))
    return ask(url, {"Authorization": "Bearer " + token})


def main():
    name, file = sys.argv[1:]
    fetch = {"aws": from_aws, "gcp": from_gcp, "alicloud": from_alicloud}[os.environ["EK_PROVIDER"]]
    data = fetch(os.environ["EK_BUCKET"], os.environ["EK_REGION"], name, os.environ["EK_ROLE"])
    with open(os.open(file + ".part", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(data)
    os.replace(file + ".part", file)


if __name__ == "__main__":
    main()
