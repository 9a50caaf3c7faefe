//! Bodies that clients send, recorded on a socket unless noted otherwise.

use super::*;

const CLIENTS: &[(&str, &str, &str, &[u8])] = &[
    (
        "curl 7.88",
        "------------------------936ea6fd0c6ffa92",
        "whisper-1",
        b"--------------------------936ea6fd0c6ffa92\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--------------------------936ea6fd0c6ffa92\r\nContent-Disposition: form-data; name=\"file\"; filename=\"speech.wav\"\r\nContent-Type: application/octet-stream\r\n\r\nRIFF\x00\x01\xff\r\n--not\r\n--------------------------936ea6fd0c6ffa92\r\nContent-Disposition: form-data; name=\"language\"\r\n\r\nen\r\n--------------------------936ea6fd0c6ffa92--\r\n",
    ),
    (
        "curl 7.88, the file first",
        "------------------------10f680f23e6c6dc5",
        "whisper-1",
        b"--------------------------10f680f23e6c6dc5\r\nContent-Disposition: form-data; name=\"file\"; filename=\"sp\xc3\xa9ech %22a%22.wav\"\r\nContent-Type: application/octet-stream\r\n\r\nRIFF\x00\x01\xff\r\n--not\r\n--------------------------10f680f23e6c6dc5\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--------------------------10f680f23e6c6dc5--\r\n",
    ),
    (
        "curl --form-escape, by its manual",
        "------------------------10f680f23e6c6dc5",
        "whisper-1",
        b"--------------------------10f680f23e6c6dc5\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\\\"b\\\\c.wav\"\r\nContent-Type: application/octet-stream\r\n\r\nRIFF\r\n--------------------------10f680f23e6c6dc5\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--------------------------10f680f23e6c6dc5--\r\n",
    ),
    (
        "requests 2.34",
        "03ae55f940ce29f6a265acde49173bea",
        "whisper-1",
        b"--03ae55f940ce29f6a265acde49173bea\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--03ae55f940ce29f6a265acde49173bea\r\nContent-Disposition: form-data; name=\"file\"; filename=\"sp\xc3\xa9ech %22a%22.wav\"\r\n\r\nRIFF\x00\x01\xff\r\n--not\r\n--03ae55f940ce29f6a265acde49173bea--\r\n",
    ),
    (
        "requests with urllib3 1, by its source",
        "03ae55f940ce29f6a265acde49173bea",
        "whisper-1",
        b"--03ae55f940ce29f6a265acde49173bea\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--03ae55f940ce29f6a265acde49173bea\r\nContent-Disposition: form-data; name=\"file\"; filename*=utf-8''sp%C3%A9ech.wav\r\n\r\nRIFF\r\n--03ae55f940ce29f6a265acde49173bea--\r\n",
    ),
    (
        "httpx 0.28",
        "fe63bd8af12c9c4d69359b38851a9db4",
        "whisper-1",
        b"--fe63bd8af12c9c4d69359b38851a9db4\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--fe63bd8af12c9c4d69359b38851a9db4\r\nContent-Disposition: form-data; name=\"file\"; filename=\"sp\xc3\xa9ech %22a\\\\b%22.wav\"\r\nContent-Type: audio/x-wav\r\n\r\nRIFF\x00\x01\xff\r\n--not\r\n--fe63bd8af12c9c4d69359b38851a9db4--\r\n",
    ),
    (
        "aiohttp 3.14",
        "034b5a1bfc7f4b6cb3a3e08b9f3990c5",
        "whisper-1",
        b"--034b5a1bfc7f4b6cb3a3e08b9f3990c5\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--034b5a1bfc7f4b6cb3a3e08b9f3990c5\r\nContent-Type: audio/x-wav\r\nContent-Disposition: form-data; name=\"file\"; filename=\"sp%C3%A9ech%20%22a%22.wav\"\r\n\r\nRIFF\x00\x01\xff\r\n--not\r\n--034b5a1bfc7f4b6cb3a3e08b9f3990c5--\r\n",
    ),
    (
        "openai-python 3.54, a transcription",
        "5a3b2898881e5be6cc61630ee314d9c1",
        "whisper-1",
        b"--5a3b2898881e5be6cc61630ee314d9c1\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--5a3b2898881e5be6cc61630ee314d9c1\r\nContent-Disposition: form-data; name=\"response_format\"\r\n\r\nverbose_json\r\n--5a3b2898881e5be6cc61630ee314d9c1\r\nContent-Disposition: form-data; name=\"timestamp_granularities[]\"\r\n\r\nword\r\n--5a3b2898881e5be6cc61630ee314d9c1\r\nContent-Disposition: form-data; name=\"timestamp_granularities[]\"\r\n\r\nsegment\r\n--5a3b2898881e5be6cc61630ee314d9c1\r\nContent-Disposition: form-data; name=\"file\"; filename=\"speech.wav\"\r\nContent-Type: audio/x-wav\r\n\r\nRIFF\x00\x01\xff\r\n--not\r\n--5a3b2898881e5be6cc61630ee314d9c1--\r\n",
    ),
    (
        "openai-python 3.54, an image edit",
        "69ffb8dd1b6098bf65fa31949b134161",
        "gpt-image-1",
        b"--69ffb8dd1b6098bf65fa31949b134161\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\na\nb \"q\"\r\n--69ffb8dd1b6098bf65fa31949b134161\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ngpt-image-1\r\n--69ffb8dd1b6098bf65fa31949b134161\r\nContent-Disposition: form-data; name=\"image[]\"; filename=\"speech.wav\"\r\nContent-Type: audio/x-wav\r\n\r\nRIFF\x00\x01\xff\r\n--not\r\n--69ffb8dd1b6098bf65fa31949b134161\r\nContent-Disposition: form-data; name=\"image[]\"; filename=\"speech.wav\"\r\nContent-Type: audio/x-wav\r\n\r\nRIFF\x00\x01\xff\r\n--not\r\n--69ffb8dd1b6098bf65fa31949b134161--\r\n",
    ),
    (
        "openai-node 6.49",
        "openai-h9anzwsnert",
        "whisper-1",
        b"--openai-h9anzwsnert\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--openai-h9anzwsnert\r\nContent-Disposition: form-data; name=\"file\"; filename=\"speech.wav\"\r\nContent-Type: application/octet-stream\r\n\r\nRIFF\x00\x01\xff\r\n--not\r\n--openai-h9anzwsnert\r\nContent-Disposition: form-data; name=\"timestamp_granularities[]\"\r\n\r\nword\r\n--openai-h9anzwsnert--\r\n",
    ),
    (
        "fetch of Node 20, a name with a quote and a line break",
        "----formdata-undici-049431640810",
        "whisper-1",
        b"------formdata-undici-049431640810\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n------formdata-undici-049431640810\r\nContent-Disposition: form-data; name=\"file\"; filename=\"sp\xc3\xa9%22e%0D%0Ach.wav\"\r\nContent-Type: application/octet-stream\r\n\r\nRIFF\x00\x01\xff\r\n--not\r\n------formdata-undici-049431640810--\r\n",
    ),
    (
        "axios 1.21 with form-data",
        "--------------------------0f762e8505b869acef45f862",
        "whisper-1",
        b"----------------------------0f762e8505b869acef45f862\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n----------------------------0f762e8505b869acef45f862\r\nContent-Disposition: form-data; name=\"file\"; filename=\"speech.wav\"\r\nContent-Type: audio/wave\r\n\r\nRIFF\x00\x01\xff\r\n--not\r\n----------------------------0f762e8505b869acef45f862--\r\n",
    ),
    (
        "Go 1.27",
        "e1099911b59bc37368df8c23a345f872970da794ebf43a4e0ce37ae7c098",
        "whisper-1",
        b"--e1099911b59bc37368df8c23a345f872970da794ebf43a4e0ce37ae7c098\r\nContent-Disposition: form-data; name=\"file\"; filename=\"sp\\\"e\\\\ech.wav\"\r\nContent-Type: application/octet-stream\r\n\r\nRIFF\x00\x01\xff\r\n--not\r\n--e1099911b59bc37368df8c23a345f872970da794ebf43a4e0ce37ae7c098\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--e1099911b59bc37368df8c23a345f872970da794ebf43a4e0ce37ae7c098--\r\n",
    ),
    (
        "a browser of the WebKit family, by its source",
        "----WebKitFormBoundary7MA4YWxkTrZu0gW",
        "whisper-1",
        b"------WebKitFormBoundary7MA4YWxkTrZu0gW\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\"\r\nContent-Type: application/octet-stream\r\n\r\n\r\n------WebKitFormBoundary7MA4YWxkTrZu0gW\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n------WebKitFormBoundary7MA4YWxkTrZu0gW--\r\n",
    ),
    (
        ".NET's HttpClient, by its source",
        "b2a7e2f6-5d4c-4b0e-9f43-0a5b7f9a1c11",
        "whisper-1",
        b"--b2a7e2f6-5d4c-4b0e-9f43-0a5b7f9a1c11\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name=model\r\n\r\nwhisper-1\r\n--b2a7e2f6-5d4c-4b0e-9f43-0a5b7f9a1c11\r\nContent-Disposition: form-data; name=file; filename=speech.wav; filename*=utf-8''speech.wav\r\n\r\nRIFF\r\n--b2a7e2f6-5d4c-4b0e-9f43-0a5b7f9a1c11--\r\n",
    ),
    (
        "Apache HttpClient 4, by its source",
        "3f1c5c1e6a554c5e8e6d2f4f3f6f1d0a",
        "whisper-1",
        b"--3f1c5c1e6a554c5e8e6d2f4f3f6f1d0a\r\nContent-Disposition: form-data; name=\"model\"\r\nContent-Type: text/plain; charset=ISO-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\nwhisper-1\r\n--3f1c5c1e6a554c5e8e6d2f4f3f6f1d0a\r\nContent-Disposition: form-data; name=\"file\"; filename=\"speech.wav\"\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\nRIFF\r\n--3f1c5c1e6a554c5e8e6d2f4f3f6f1d0a--\r\n",
    ),
    (
        "OkHttp 4, by its source",
        "3f1c5c1e-6a55-4c5e-8e6d-2f4f3f6f1d0a",
        "whisper-1",
        b"--3f1c5c1e-6a55-4c5e-8e6d-2f4f3f6f1d0a\r\nContent-Disposition: form-data; name=\"model\"\r\nContent-Length: 9\r\n\r\nwhisper-1\r\n--3f1c5c1e-6a55-4c5e-8e6d-2f4f3f6f1d0a\r\nContent-Disposition: form-data; name=\"file\"; filename=\"speech.wav\"\r\nContent-Type: audio/wav\r\nContent-Length: 4\r\n\r\nRIFF\r\n--3f1c5c1e-6a55-4c5e-8e6d-2f4f3f6f1d0a--\r\n",
    ),
];

#[test]
fn finds_the_model_that_clients_send() {
    for (client, boundary, model, body) in CLIENTS {
        let expected = (Value::Name((*model).to_owned()), model.as_bytes());
        assert_eq!(one_model(boundary, body), expected, "{client}");
    }
}

#[test]
fn a_model_is_there_as_soon_as_its_delimiter_is() {
    for (client, boundary, model, body) in CLIENTS {
        let end = memchr::memmem::find(body, model.as_bytes()).unwrap() + model.len();
        let delimiter = end + "\r\n--\r\n".len() + boundary.len();
        let models_at = |at: usize| {
            let mut multipart =
                crate::model::multipart::Multipart::new(&named(boundary), Duplicates::Refuse);
            multipart.feed(&body[..at]).unwrap();
            multipart.models().len()
        };
        assert_eq!(
            (models_at(delimiter - 1), models_at(delimiter)),
            (0, 1),
            "{client}"
        );
    }
}
